// @ts-check
// What goes over the connections, as the journal has it: the newest rows first.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { repeat } from '../vendor/lit-html/directives/repeat.js';
import { get, put, query, remove } from '../api.js';
import { on, want } from '../store.js';
import { Ask } from '../parts/ask.js';
import { brief } from '../parts/rows.js';
import { failure, name, number, plural, rate } from '../parts/text.js';

/** Rows that are kept, asked for at first, and then at a time. */
const [KEPT, FIRST, NEXT] = [500, 100, 50];
/** Milliseconds between two questions, and over which rates are taken. */
const [GAP, SPAN] = [250, 2000];

/** @param {() => void} changed @param {any} route */
export function open(changed, route) {
  const ask = new Ask(changed);
  /** @type {any[]} the newest first; one with a `gap` stands for those that were left out */ let rows = [];
  /** @type {any[] | null} the rows as they are looked at */ let held = null;
  /** @type {any} */ let error = null;
  /** @type {any[]} */ let looks = [];
  /** @type {boolean | null} */ let isOn = null;
  let [paused, until, asked, timer, busy] = [false, 0, -GAP, 0, false];

  const line = () => route.query.get('f') ?? '';
  /** @param {any} more */
  const url = (more) => `/v1/journal${query({ match: line().trim(), ...more })}`;

  /** Asks soon for what has come since. */
  function soon() {
    if (!paused) timer ||= window.setTimeout(look, Math.max(0, asked + GAP - performance.now()));
  }
  async function look() {
    timer = 0;
    if (document.hidden) return;
    if (busy) return soon();
    const [own, since] = [line(), until];
    busy = true;
    asked = performance.now();
    const found = await get(url({ newest: since ? NEXT : FIRST, since, brief: 'true' })).catch(fail);
    busy = false;
    if (own !== line() || since !== until) return soon();
    if (found) take(found, since);
    changed();
  }
  /** @param {any} failed */
  const fail = (failed) => {
    error = failed;
    changed();
  };

  /** @param {any} found @param {number} since */
  function take({ rows: all, on, last, until: end, matched, missed }, since) {
    error = null;
    isOn = on;
    // A broker that was started anew counts anew.
    if (last < since) return begin();
    until = end || last;
    if (since) looks.push({ at: asked, matched, shown: all.length });
    const gap = matched - all.length + (since && missed);
    if (all.length) rows = [...all.reverse(), ...(gap ? [{ number: -until, gap }] : []), ...rows].slice(0, KEPT);
  }

  function begin() {
    [rows, held, until, looks, error] = [[], null, 0, [], null];
    soon();
  }

  const off = on((topic, data) => {
    if (topic === 'restarted') begin();
    if (topic !== 'journal') return;
    isOn = data.on;
    if (data.last !== until) soon();
  });
  const drop = want('journal');
  soon();

  /** @param {boolean} on */
  const turn = async (on) => {
    if (await put('/v1/journal', { on }).catch(fail)) isOn = on;
    changed();
  };
  /** @param {any} event */
  const clear = async ({ currentTarget }) => {
    const all = await get('/v1/journal?newest=0').catch(fail);
    const what = html`<span>Forget ${plural(all.matched, 'row')} of the journal.</span>`;
    ask.ask(/** @type {any} */ ({ currentTarget }), what, 'Forget', () => remove('/v1/journal'), begin);
  };
  const pause = () => {
    paused = !paused;
    soon();
    changed();
    return true;
  };
  const hold = () => (held ??= rows);
  /** @param {any} event */
  const release = ({ currentTarget: list, relatedTarget: to }) => {
    if (!list.contains(to) && !list.contains(document.activeElement)) ((held = null), changed());
  };

  function pace() {
    looks = looks.filter(({ at }) => at > performance.now() - SPAN);
    let [all, shown] = [0, 0];
    for (const look of looks) [all, shown] = [all + look.matched, shown + look.shown];
    const a_second = (/** @type {number} */ count) => `${rate((count * 1000) / SPAN)}/s`;
    return paused ? 'paused' : all ? a_second(all) + (shown < all ? `, shown ${a_second(shown)}` : '') : '';
  }

  return {
    title: 'Messages',
    pause,
    cancel: () => ask.cancel(),
    update: begin,
    close() {
      paused = true;
      clearTimeout(timer);
      off();
      drop();
    },
    view() {
      const list = held ?? rows;
      const fresh = rows.indexOf(list[0]);
      return html`<div class="head">
          <h1>Messages</h1> <p class="count">${pace()}</p>
          ${fresh && list.length ? html`<button @click=${() => ((held = null), changed())}>${fresh < 0 ? `${KEPT}+` : fresh} new ↑</button>` : nothing}
          <input type="search" class="line" aria-label="Filter: key:value with blanks between, - in front says what not" placeholder="topic:cars/# client:car1 -type:pingreq"
            .value=${line()} @input=${(event) => route.set({ f: event.target.value })} />
          <a download="roundel.pcapng" href=${url({ format: 'pcapng' })}>pcapng</a> <a download="roundel.jsonl" href=${url({ format: 'jsonl' })}>JSON Lines</a>
          ${isOn ? html`<button aria-pressed=${paused} @click=${pause}>Pause</button> <button @click=${() => turn(false)}>Switch off</button>` : nothing}
          ${rows.length ? html`<button @click=${clear}>Clear …</button>` : nothing}
        </div>
        ${ask.view()} ${error ? failure(error) : nothing}
        ${isOn === false ? html`<div class="note"><p>The journal is off. While it is on, the broker keeps the last packets of all connections, 10,000 rows and 16 MiB unless
            <code>PUT /v1/journal</code> says otherwise: payloads too, and the passwords in CONNECT.</p><button @click=${() => turn(true)}>Switch the journal on</button></div>` : nothing}
        ${list.length
          ? html`<div class="scroll" @pointerenter=${hold} @pointerleave=${release} @focusin=${hold} @focusout=${release}>${table(list)}</div>`
          : isOn && !error
            ? html`<p class="note">No row is ${line() ? 'like this' : 'there yet: connect a client'}.</p>`
            : nothing}`;
    },
  };
}

/** @param {any[]} list */
const table = (list) => html`<table class="list">
  <thead><tr>${['#', 'Time', 'From, to', 'Packet', 'About', 'Id', 'Bytes'].map((title) => html`<th scope="col">${title}</th>`)}</tr></thead>
  <tbody>
    ${repeat(
      list,
      (row) => row.number,
      (row) => {
        if (row.gap) return html`<tr><td colspan="7" class="share">${plural(row.gap, 'row')} left out</td></tr>`;
        const { link, when, what, whom } = brief(row);
        return html`<tr><td>${link}</td><td>${when}</td><td>${whom}</td><td>${what}</td><td class="about">${name(row.about)}</td><td>${row.packet_id}</td><td>${row.bytes && number(row.bytes)}</td></tr>`;
      },
    )}
  </tbody>
</table>`;
