// @ts-check
// What goes over the connections, as the journal has it: the newest rows first.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { repeat } from '../vendor/lit-html/directives/repeat.js';
import { get, put, query, remove } from '../api.js';
import { on, want } from '../store.js';
import { Ask } from '../parts/ask.js';
import { what, whom } from '../parts/rows.js';
import { failure, moment, name, number, plural, rate } from '../parts/text.js';

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
  /** @type {{ at: number, all: number, shown: number }[]} */ let looks = [];
  /** @type {boolean | null} */ let isOn = null;
  let [until, asked, timer, busy, paused] = [0, -GAP, 0, false, false];

  const line = () => route.query.get('f') ?? '';
  const url = (/** @type {any} */ more) => `/v1/journal${query({ match: line().trim(), ...more })}`;

  /** Asks soon, for what has come since. */
  function soon() {
    if (paused || timer) return;
    timer = window.setTimeout(look, Math.max(0, asked + GAP - performance.now()));
  }
  async function look() {
    timer = 0;
    if (document.hidden) return;
    if (busy) return soon();
    const [own, since] = [line(), until];
    busy = true;
    asked = performance.now();
    const found = await get(url({ newest: since ? NEXT : FIRST, since, brief: 'true' })).catch((failed) => void (error = failed));
    busy = false;
    if (own !== line() || since !== until) return soon();
    if (found) take(found, since);
    changed();
  }

  /** @param {any} found @param {number} since */
  function take(found, since) {
    error = null;
    isOn = found.on;
    // A broker that was started anew counts anew.
    if (found.last < since) return begin();
    until = found.until || found.last;
    const { rows: all, matched, missed } = found;
    if (since) looks.push({ at: asked, all: matched, shown: all.length });
    const gap = matched - all.length + (since ? missed : 0);
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

  const turn = async (/** @type {boolean} */ on) => {
    isOn = (await put('/v1/journal', { on }).catch((failed) => (error = failed))).on ?? isOn;
    changed();
  };
  const clear = async (/** @type {any} */ { currentTarget }) => {
    const all = await get('/v1/journal?newest=0');
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
  const release = (/** @type {any} */ { currentTarget: list, relatedTarget: to }) => {
    if (list.contains(to) || list.contains(document.activeElement)) return;
    held = null;
    changed();
  };

  function pace() {
    looks = looks.filter(({ at }) => at > performance.now() - SPAN);
    const sum = (/** @type {'all' | 'shown'} */ key) => looks.reduce((sum, look) => sum + look[key], 0) * (1000 / SPAN);
    const [all, shown] = [sum('all'), sum('shown')];
    return paused ? 'paused' : all ? `${rate(all)}/s${shown < all ? `, shown ${rate(shown)}/s` : ''}` : '';
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
      const fresh = rows.findIndex((row) => row === list[0]);
      return html`<div class="head">
          <h1>Messages</h1> <p class="count">${pace()}</p>
          ${fresh && list.length ? html`<button @click=${() => changed((held = null))}>${fresh < 0 ? `${KEPT}+` : fresh} new ↑</button>` : nothing}
          <input type="search" class="line" aria-label="Filter: key:value with blanks between, - in front says what not" placeholder="topic:cars/# client:car1 -type:pingreq" .value=${line()}
            @input=${(/** @type {any} */ event) => route.set({ f: event.target.value })} />
          <a download="roundel.pcapng" href=${url({ format: 'pcapng' })}>pcapng</a> <a download="roundel.jsonl" href=${url({ format: 'jsonl' })}>JSON Lines</a>
          ${isOn ? html`<button aria-pressed=${paused} @click=${pause}>Pause</button> <button @click=${() => turn(false)}>Switch off</button>` : nothing}
          ${rows.length ? html`<button @click=${clear}>Clear …</button>` : nothing}
        </div>
        ${ask.view()} ${error ? failure(error) : nothing}
        ${isOn === false
          ? html`<div class="note"><p>The journal is off. While it is on, the broker keeps the last packets of all connections and what became of these, 10,000 rows and 16 MiB unless <code>PUT /v1/journal</code>
              says otherwise: payloads too, and the passwords in CONNECT.</p><p><button @click=${() => turn(true)}>Switch the journal on</button></p></div>`
          : nothing}
        ${list.length
          ? html`<div class="scroll" @pointerenter=${hold} @pointerleave=${release} @focusin=${hold} @focusout=${release}>${table(list)}</div>`
          : isOn && !error
            ? html`<p class="note">No row is ${line() ? 'like this' : html`there yet: connect a client`}.</p>`
            : nothing}`;
    },
  };
}

/** @param {any[]} list */
const table = (list) => html`<table class="list">
  <thead><tr><th scope="col" class="n">#</th><th scope="col">Time</th><th scope="col">From, to</th><th scope="col">Packet</th><th scope="col">About</th><th scope="col" class="n">Id</th><th scope="col" class="n">Bytes</th></tr></thead>
  <tbody>
    ${repeat(
      list,
      (row) => row.number,
      (row) =>
        row.gap
          ? html`<tr><td colspan="7" class="share">${plural(row.gap, 'row')} left out</td></tr>`
          : html`<tr>
              <td class="n"><a href="/console/messages/${row.number}" data-row>${row.number}</a></td>
              <td><time title=${row.at}>${moment(Date.parse(row.at))}</time></td>
              <td>${whom(row)}</td><td>${what(row)}</td><td class="about">${name(row.about)}</td>
              <td class="n">${row.packet_id}</td><td class="n">${row.bytes && number(row.bytes)}</td>
            </tr>`,
    )}
  </tbody>
</table>`;
