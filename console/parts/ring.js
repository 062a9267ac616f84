// Pictures of a group. The ring: its members in join order, the needle at the one whose turn it is, messages on their way
// to whoever takes them, and from a member that is gone to the next. Of a group that is too large, the strip.

import { html, nothing, render, svg } from '../vendor/lit-html/lit-html.js';
import { path } from '../api.js';
import { number, plain, rate, short } from './text.js';

/** So many members are a ring; more are a strip. */
export const MOST = 24;

const RADIUS = 138;
const HUB = 46;
/** Above so many picks a second the needle jumps. */
const FAST = 20;

const isStill = () => document.hidden || matchMedia('(prefers-reduced-motion: reduce)').matches;

function place(at, count, radius) {
  const angle = (at / count) * 2 * Math.PI - Math.PI / 2;
  const rounded = (value) => Math.round(value * radius * 10) / 10;
  return { x: rounded(Math.cos(angle)), y: rounded(Math.sin(angle)) };
}

/** How large a member is drawn among so many, and how long its name may be. */
const size = (count) => (count <= 6 ? 26 : count <= 9 ? 22 : count <= 14 ? 17 : 12);
const label = (member, count) => short(member.client_id, count > 12 ? 12 : 14);

/** Whether all of a member's window is taken. */
export const isFull = (member) => member.connected && member.window > 0 && member.window_taken >= member.window;

export const stateOf = (member) => (!member.connected ? 'away' : isFull(member) ? 'full' : 'online');

/** A shape that is there until its animation ends. */
function show(layer, tag, attributes, frames, timing) {
  const shape = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) shape.setAttribute(name, value);
  layer.append(shape);
  const flight = shape.animate(frames, { fill: 'both', ...timing });
  flight.onfinish = flight.oncancel = () => shape.remove();
}

export class Ring {
  element = document.createElement('div');
  places = new Map();
  angle = 0;
  count = 0;

  /** Draws the group as it stands: `rate` in messages a second. */
  show({ members, cursor, number: at, rate: speed, queued }) {
    const count = members.length;
    const r = size(count);
    this.count = count;
    // The shortest way forward: the needle never turns back.
    this.angle += ((((cursor / (count || 1)) * 360 - this.angle) % 360) + 360) % 360;
    if (this.places.size > 4 * MOST) this.places.clear();
    for (const [at, member] of members.entries()) this.places.set(member.client_id, place(at, count, RADIUS));
    // As wide as the names are long: few members with short names are drawn larger.
    const longest = Math.max(0, ...members.map((member) => label(member, count).length));
    const half = Math.min(264, Math.max(204, RADIUS + r + 18 + longest * 7.2));
    const next = members[cursor];
    render(
      html`<p class="hidden">Ring of ${count} members; next is ${next ? plain(next.client_id) : 'nobody'}</p>
      <svg class="ring" viewBox="${-half} -212 ${2 * half} 420" aria-hidden="true">
        <circle class="path" r=${RADIUS} />
        <g class=${speed > FAST ? 'needle fast' : 'needle'}>
          <path d="M0 ${-HUB - 3} V${-RADIUS + r + 15}" />
          <path class="tip" d="M-6 ${-RADIUS + r + 17} h12 l-6 -10 z" />
        </g>
        <g class="under"></g>
        ${members.map((member, at) => this.node(member, at, at === cursor))}
        <circle class="hub" r=${HUB} />
        <text class="hub-number" y="-6">#${number(at)}</text>
        <text class="hub-rate" y="12">${rate(speed)}/s</text>
        ${queued > 0 ? svg`<text class="hub-queue" y="28">${number(queued)} wait</text>` : nothing}
        <g class="over"></g>
      </svg>`,
      this.element,
    );
    /** @type {SVGElement} */ (this.element.querySelector('.needle')).style.transform = `rotate(${this.angle}deg)`;
  }

  node(member, at, isNext) {
    const { count } = this;
    const { x, y } = place(at, count, RADIUS);
    const r = size(count);
    const out = place(at, count, RADIUS + r + 14);
    const isMiddle = Math.abs(out.x) < 12;
    const state = stateOf(member);
    const used = member.window ? Math.min(100, (member.window_taken / member.window) * 100) : 0;
    // A window of tens of thousands looks empty all the time: its arc shows that something is on its way.
    const arc = used > 0 ? Math.max(4, used) : 0;
    return svg`<a href=${path('/console/clients', member.client_id)} tabindex="-1" class="node ${state} ${isNext ? 'next' : ''}">
      <title>${plain(member.client_id)}</title>
      <g transform="translate(${x} ${y})">
        <circle class="body" r=${r} />
        <circle class="gauge" r=${r + 4} pathLength="100" stroke-dasharray="${arc.toFixed(1)} 100" transform="rotate(-90)" />
        <text class="inside" y="4">${state === 'away' ? '✕' : member.window_taken || ''}</text>
      </g>
      <g transform="translate(${out.x} ${out.y + (isMiddle ? (out.y < 0 ? -14 : 12) : -2)})" text-anchor=${isMiddle ? 'middle' : out.x > 0 ? 'start' : 'end'}>
        <text class="label">${label(member, count)}</text>
        ${count > 16 ? nothing : svg`<text class="sub" y="14">${state === 'online' ? number(member.delivered) : state}</text>`}
      </g>
    </a>`;
  }

  /** Shows what has happened since, spread over the time until the next is told. */
  play(steps) {
    const [over, under] = ['.over', '.under'].map((layer) => /** @type {Element} */ (this.element.querySelector(layer)));
    if (isStill() || !over) return;
    const seen = steps.filter(({ event }) => event === 'pick' || event === 'redelivery').slice(-6);
    for (const [at, step] of seen.entries()) {
      const to = this.places.get(step.client_id);
      const from = this.places.get(step.from);
      const delay = (at / seen.length) * 240;
      if (to && from) this.again(under, from, to, delay);
      else if (to) this.fly(over, to, delay);
    }
  }

  fly(layer, to, delay) {
    if (layer.childElementCount > 40) return;
    const end = 1 - (size(this.count) + 4) / RADIUS;
    const start = HUB / RADIUS;
    const at = (part, opacity) => ({ transform: `translate(${to.x * part}px, ${to.y * part}px)`, opacity });
    const frames = [at(start, 0), { ...at(start + 0.08, 1), offset: 0.12 }, { ...at(end, 1), offset: 0.92 }, at(end, 0)];
    show(layer, 'circle', { r: 5, class: 'message' }, frames, { duration: 380, delay, easing: 'cubic-bezier(.3,.1,.4,1)' });
  }

  /** A message that a member had and another one gets. */
  again(layer, from, to, delay) {
    if (layer.childElementCount > 24) return;
    const d = `M${from.x} ${from.y} Q${(from.x + to.x) * 0.22} ${(from.y + to.y) * 0.22} ${to.x} ${to.y}`;
    const frames = { strokeDashoffset: [1, 0, 0], opacity: [1, 1, 0], offset: [0, 0.25] };
    show(layer, 'path', { d, class: 'again', pathLength: 1 }, frames, { duration: 2000, delay, easing: 'ease-out' });
  }
}

const CELL = 14;

/** A cell for each member, in join order, one line after the other. */
export class Strip {
  element = document.createElement('div');
  members = [];

  show({ members, cursor, total }) {
    this.members = members;
    const columns = Math.max(10, Math.ceil(Math.sqrt(1.5 * members.length)));
    const rows = Math.ceil(members.length / columns);
    const next = members[cursor] ? plain(members[cursor].client_id) : 'one that is not shown';
    render(
      html`<svg class="strip" role="img" viewBox="0 0 ${columns * CELL} ${rows * CELL}" aria-label="${number(total)} members; next is ${next}">
        ${members.map((member, at) => svg`<rect
          class="${stateOf(member)} ${at === cursor ? 'next' : ''} ${member.window_taken ? 'busy' : ''}"
          x=${(at % columns) * CELL + 1.5} y=${Math.floor(at / columns) * CELL + 1.5} width="11" height="11" rx="2.5"
        ><title>${plain(member.client_id)}</title></rect>`)}
      </svg>`,
      this.element,
    );
  }

  play(steps) {
    if (isStill()) return;
    const cells = this.element.querySelectorAll('rect');
    for (const { event, client_id: id } of steps.slice(-40)) {
      const fill = { redelivery: 'var(--again)', pick: 'var(--flash)' }[event];
      const cell = cells[this.members.findIndex((member) => member.client_id === id)];
      if (fill) cell?.animate([{ fill }, {}], { duration: 700, easing: 'ease-out' });
    }
  }
}

export function mini(members, cursor, total) {
  const isLarge = total > MOST;
  const hand = place(cursor, total, isLarge ? 11 : 9);
  return html`<svg class="mini" viewBox="-20 -20 40 40" aria-hidden="true">
    <circle class=${isLarge ? 'path many' : 'path'} r="14" />
    <path class="hand" d="M0 0 L${hand.x} ${hand.y}" />
    ${(isLarge ? [] : members).map((member, at) => {
      const { x, y } = place(at, total, 14);
      return svg`<circle class="dot ${stateOf(member)}" cx=${x} cy=${y} r=${total > 12 ? 2 : 3.5} />`;
    })}
  </svg>`;
}
