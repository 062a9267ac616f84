// @ts-check
// The ring: the members of a group in join order, the needle at the one whose turn it is, messages on their way
// to whoever takes them, and from a member that is gone to the next.

import { html, nothing, render, svg } from '../vendor/lit-html/lit-html.js';
import { number, plain, rate, short } from './text.js';

/** So many members are a ring; more are a strip. */
export const MOST = 24;

const RADIUS = 138;
const HUB = 46;
/** Above so many picks a second the needle jumps, and only some messages are seen to fly. */
const FAST = 20;
const NS = 'http://www.w3.org/2000/svg';

export const isStill = () => matchMedia('(prefers-reduced-motion: reduce)').matches;

/** @param {number} at @param {number} count @param {number} radius */
function place(at, count, radius) {
  const angle = (at / count) * 2 * Math.PI - Math.PI / 2;
  return { x: Math.cos(angle) * radius, y: Math.sin(angle) * radius };
}

/** How large a member is drawn among so many. @param {number} count */
const size = (count) => (count <= 6 ? 26 : count <= 9 ? 22 : count <= 14 ? 17 : 12);

/** Characters of a name beside the ring. @param {number} count */
const longestName = (count) => (count > 12 ? 12 : 14);

/** Whether all of a member's window is taken. @param {any} member */
export const isFull = (member) => member.connected && member.window > 0 && member.window_taken >= member.window;

/** What a member is, in a word. @param {any} member */
export const stateOf = (member) => (!member.connected ? 'away' : isFull(member) ? 'full' : 'online');

export class Ring {
  constructor() {
    this.element = document.createElement('div');
    this.element.className = 'ring';
    /** @type {Map<string, { x: number, y: number }>} where members are, or were */
    this.places = new Map();
    this.turn = 0;
    this.angle = 0;
    this.rate = 0;
    this.count = 0;
  }

  /**
   * Draws the group as it stands.
   * @param {{ members: any[], cursor: number, number: number, rate: number, queued: number, href: (id: string) => string }} view
   */
  show(view) {
    const { members, cursor, queued } = view;
    const count = members.length;
    this.rate = view.rate;
    // The shortest way forward: the needle never turns back.
    const angle = count ? (cursor / count) * 360 : 0;
    this.angle += (((angle - this.angle) % 360) + 360) % 360;
    for (const [at, member] of members.entries()) this.places.set(member.client_id, place(at, count, RADIUS));
    if (this.places.size > 4 * MOST) this.places.clear();
    this.count = count;
    const next = members[cursor];
    // As wide as the names are long: few members with short names are drawn larger.
    const longest = Math.max(0, ...members.map((member) => short(member.client_id, longestName(count)).length));
    const half = Math.min(264, Math.max(204, RADIUS + size(count) + 18 + longest * 7.2));
    const label = `Ring of ${count} members; next is ${next ? plain(next.client_id) : 'nobody'}. The table says the same.`;
    render(
      html`<p class="hidden">${label}</p>
      <svg viewBox="${-half} -212 ${2 * half} 420" aria-hidden="true">
        <circle class="path" r=${RADIUS} />
        <g class=${this.rate > FAST ? 'needle fast' : 'needle'}>
          <path d="M0 ${-HUB - 3} V${-RADIUS + size(count) + 15}" />
          <path class="tip" d="M-6 ${-RADIUS + size(count) + 17} h12 l-6 -10 z" />
        </g>
        <g class="under"></g>
        ${members.map((member, at) => this.node(member, at, count, at === cursor, view.href))}
        <circle class="hub" r=${HUB} />
        <text class="hub-number" y="-6">#${number(view.number)}</text>
        <text class="hub-rate" y="12">${rate(this.rate)}/s</text>
        ${queued > 0 ? svg`<text class="hub-queue" y="28">${number(queued)} wait</text>` : nothing}
        <g class="over"></g>
      </svg>`,
      this.element,
    );
    const needle = /** @type {SVGElement | null} */ (this.element.querySelector('.needle'));
    if (needle) needle.style.transform = `rotate(${this.angle}deg)`;
  }

  /** @param {any} member @param {number} at @param {number} count @param {boolean} isNext @param {(id: string) => string} href */
  node(member, at, count, isNext, href) {
    const { x, y } = place(at, count, RADIUS);
    const r = size(count);
    const out = place(at, count, RADIUS + r + 14);
    const side = Math.abs(out.x) < 12 ? 'middle' : out.x > 0 ? 'start' : 'end';
    const lift = Math.abs(out.x) < 12 ? (out.y < 0 ? -14 : 12) : -2;
    const state = stateOf(member);
    const used = member.window ? Math.min(100, (member.window_taken / member.window) * 100) : 0;
    // A window of tens of thousands looks empty all the time: its arc shows that something is on its way.
    const arc = used > 0 ? Math.max(4, used) : 0;
    return svg`<a href=${href(member.client_id)} tabindex="-1" class="node ${state} ${isNext ? 'next' : ''}" data-id=${member.client_id}>
      <title>${plain(member.client_id)}: ${state}, ${number(member.window_taken)} in flight, ${number(member.delivered)} delivered</title>
      <g transform="translate(${x.toFixed(1)} ${y.toFixed(1)})">
        <circle class="body" r=${r} />
        <circle class="gauge" r=${r + 4} pathLength="100" stroke-dasharray="${arc.toFixed(1)} 100" transform="rotate(-90)" />
        <text class="inside" y="4">${state === 'away' ? '✕' : member.window_taken || ''}</text>
      </g>
      <text class="label" x=${out.x.toFixed(1)} y=${(out.y + lift).toFixed(1)} text-anchor=${side}>${short(member.client_id, longestName(count))}</text>
      ${count > 16
        ? nothing
        : svg`<text class="sub" x=${out.x.toFixed(1)} y=${(out.y + lift + 14).toFixed(1)} text-anchor=${side}>${
            state === 'online' ? number(member.delivered) : state
          }</text>`}
    </a>`;
  }

  /** Shows what has happened since, spread over the time until the next is told. @param {any[]} steps */
  play(steps) {
    if (isStill() || document.hidden) return;
    const over = this.element.querySelector('.over');
    const under = this.element.querySelector('.under');
    if (!over || !under) return;
    const moves = steps.filter((step) => step.event === 'pick' || step.event === 'redelivery');
    const seen = moves.length > 6 ? moves.slice(-6) : moves;
    for (const [at, step] of seen.entries()) {
      const to = this.places.get(step.client_id);
      const from = step.from !== undefined && this.places.get(step.from);
      if (!to) continue;
      const delay = (at / seen.length) * 240;
      if (from) this.arc(under, from, to, delay);
      else this.fly(over, { x: 0, y: 0 }, to, delay, 'message');
    }
  }

  /** @param {Element} layer @param {{x: number, y: number}} from @param {{x: number, y: number}} to @param {number} delay @param {string} kind */
  fly(layer, from, to, delay, kind) {
    if (layer.childElementCount > 40) return;
    const dot = document.createElementNS(NS, 'circle');
    dot.setAttribute('r', '5');
    dot.setAttribute('class', kind);
    layer.append(dot);
    const end = 1 - (size(this.count) + 4) / RADIUS;
    const start = HUB / RADIUS;
    const at = (/** @type {number} */ part) =>
      `translate(${from.x + (to.x - from.x) * part}px, ${from.y + (to.y - from.y) * part}px)`;
    const flight = dot.animate(
      [
        { transform: at(start), opacity: 0 },
        { transform: at(start + 0.08), opacity: 1, offset: 0.12 },
        { transform: at(end), opacity: 1, offset: 0.92 },
        { transform: at(end), opacity: 0 },
      ],
      { duration: 380, delay, easing: 'cubic-bezier(.3,.1,.4,1)', fill: 'both' },
    );
    flight.onfinish = flight.oncancel = () => dot.remove();
  }

  /** A message that a member had and another one gets. @param {Element} layer @param {{x: number, y: number}} from @param {{x: number, y: number}} to @param {number} delay */
  arc(layer, from, to, delay) {
    if (layer.childElementCount > 24) return;
    const path = document.createElementNS(NS, 'path');
    const same = from.x === to.x && from.y === to.y;
    const bend = same ? { x: from.x * 0.45 + from.y * 0.3, y: from.y * 0.45 - from.x * 0.3 } : { x: (from.x + to.x) * 0.22, y: (from.y + to.y) * 0.22 };
    path.setAttribute('d', `M${from.x} ${from.y} Q${bend.x} ${bend.y} ${to.x} ${to.y}`);
    path.setAttribute('class', 'again');
    path.setAttribute('pathLength', '1');
    layer.append(path);
    const flight = path.animate(
      [
        { strokeDashoffset: '1', opacity: 1 },
        { strokeDashoffset: '0', opacity: 1, offset: 0.25 },
        { strokeDashoffset: '0', opacity: 0 },
      ],
      { duration: 2000, delay, easing: 'ease-out', fill: 'both' },
    );
    flight.onfinish = flight.oncancel = () => path.remove();
  }
}

/** A ring for a line of a list. @param {any[]} members @param {number} cursor @param {number} total */
export function mini(members, cursor, total) {
  const count = members.length;
  if (total > MOST || !count) {
    const at = place(cursor, total, 11);
    return html`<svg class="mini" viewBox="-20 -20 40 40" aria-hidden="true">
      <circle class="path many" r="14" stroke-dasharray="2 1.4" />
      ${total ? svg`<path class="hand" d="M0 0 L${at.x.toFixed(1)} ${at.y.toFixed(1)}" />` : nothing}
    </svg>`;
  }
  const next = place(cursor, count, 9);
  return html`<svg class="mini" viewBox="-20 -20 40 40" aria-hidden="true">
    <circle class="path" r="14" />
    <path class="hand" d="M0 0 L${next.x.toFixed(1)} ${next.y.toFixed(1)}" />
    ${members.map((member, at) => {
      const { x, y } = place(at, count, 14);
      return svg`<circle class="dot ${stateOf(member)}" cx=${x.toFixed(1)} cy=${y.toFixed(1)} r=${count > 12 ? 2 : 3.5} />`;
    })}
  </svg>`;
}
