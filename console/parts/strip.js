// @ts-check
// A group that is too large for a ring: a cell for each member, in join order, one line after the other.

import { number, plain } from './text.js';
import { isStill, stateOf } from './ring.js';

const NS = 'http://www.w3.org/2000/svg';
const CELL = 14;

export class Strip {
  constructor() {
    this.element = document.createElementNS(NS, 'svg');
    this.element.setAttribute('class', 'strip');
    this.element.setAttribute('role', 'img');
    /** @type {{ cell: SVGRectElement, title: SVGTitleElement, id: string, shown: string }[]} */
    this.cells = [];
    /** @type {Map<string, SVGRectElement>} */ this.byId = new Map();
    this.columns = 0;
  }

  /** Cells are kept, and changed only where they are to look otherwise. @param {{ members: any[], cursor: number, total: number }} view */
  show({ members, cursor, total }) {
    const columns = Math.max(10, Math.ceil(Math.sqrt(1.5 * members.length)));
    const rows = Math.ceil(members.length / columns);
    this.element.setAttribute('viewBox', `0 0 ${columns * CELL} ${rows * CELL}`);
    const next = members[cursor];
    this.element.setAttribute(
      'aria-label',
      `${number(total)} members; next is ${next ? plain(next.client_id) : 'one that is not shown'}. The table says the same.`,
    );
    while (this.cells.length > members.length) this.cells.pop()?.cell.remove();
    if (columns !== this.columns) {
      for (const { cell } of this.cells) cell.remove();
      this.cells = [];
      this.columns = columns;
    }
    this.byId.clear();
    for (const [at, member] of members.entries()) {
      const known = this.cells[at] ?? this.add(at);
      this.byId.set(member.client_id, known.cell);
      const shown = `${stateOf(member)}${at === cursor ? ' next' : ''}${member.window_taken ? ' busy' : ''}`;
      if (known.shown !== shown) known.cell.setAttribute('class', shown);
      if (known.id !== member.client_id) known.title.textContent = plain(member.client_id);
      known.shown = shown;
      known.id = member.client_id;
    }
  }

  /** @param {number} at */
  add(at) {
    const cell = /** @type {SVGRectElement} */ (document.createElementNS(NS, 'rect'));
    const title = /** @type {SVGTitleElement} */ (document.createElementNS(NS, 'title'));
    for (const [name, value] of Object.entries({
      x: (at % this.columns) * CELL + 1.5,
      y: Math.floor(at / this.columns) * CELL + 1.5,
      width: CELL - 3,
      height: CELL - 3,
      rx: 2.5,
    }))
      cell.setAttribute(name, String(value));
    cell.append(title);
    this.element.append(cell);
    const added = { cell, title, id: '', shown: '' };
    this.cells.push(added);
    return added;
  }

  /** Whoever has had a message lights up. @param {any[]} steps */
  play(steps) {
    if (isStill() || document.hidden) return;
    for (const step of steps.slice(-40)) {
      const cell = this.byId.get(step.client_id);
      const color = step.event === 'redelivery' ? 'var(--again)' : step.event === 'pick' ? 'var(--flash)' : '';
      if (cell && color) cell.animate([{ fill: color }, {}], { duration: 700, easing: 'ease-out' });
    }
  }
}
