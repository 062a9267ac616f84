// @ts-check
// What goes over the connections, as the journal has it: the newest rows first.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { get, path, put, query, remove, Resource } from '../api.js';
import { on, want } from '../store.js';
import { Ask } from '../parts/ask.js';
import { table } from '../parts/list.js';
import { failure, moment, name, number, plural, short } from '../parts/text.js';

/** Rows that are kept, asked for at first, and then at a time. */
const [KEPT, FIRST, NEXT] = [500, 100, 50];

/** The page with the rows that `key:value` finds. */
export const found = (key, value) => `/console/messages${query({ f: `${key}:"${`${value}`.replace(/["\\]/g, '\\$&')}"` })}`;

/** The parts of a brief row: a link to it, when it was, what it is and what a rule did with it, who sent it to whom. */
export function brief(row) {
  const client = row.client ? html`<a href=${path('/console/clients', row.client)}>${name(row.client, 24)}</a>` : html`${row.listener} ${row.peer}`;
  return {
    link: html`<a href="/console/messages/${row.number}" data-row>#${row.number}</a>`,
    when: html`<time title=${row.at}>${moment(Date.parse(row.at))}</time>`,
    what: html`${row.event ? html`<em>${row.what}</em>` : row.what} ${row.did ? html`<span class="chip warn">${short(row.rule ?? '', 20)} ${row.did}</span>` : nothing}`,
    whom: row.direction === 'in' ? html`${client} → broker` : row.direction ? html`broker → ${client}` : client,
  };
}

export function open(changed, route) {
  const ask = new Ask(changed);
  /** @type {any[]} the newest first; one with a `gap` stands for those that were left out */ let rows = [];
  /** @type {any[] | null} the rows as they are looked at */ let held = null;
  let [isPaused, since, until, timer] = [false, 0, 0, 0];
  const line = () => route.query.get('f') ?? '';
  const url = (more) => `/v1/journal${query({ match: line().trim(), ...more })}`;
  const asked = new Resource(
    () => (isPaused ? '' : url({ newest: since ? NEXT : FIRST, since, brief: 'true' })),
    () => {
      if (asked.value !== taken) take(asked.value);
      // The answer to what is asked next goes on where this one ends.
      if (asked.again) since = until;
      changed();
    },
  );
  /** @type {any} the last answer whose rows are there */ let taken = null;

  function take(value) {
    taken = value;
    const { rows: all, last, until: end, matched, missed } = value;
    // A broker that was started anew counts anew.
    if (last < since) return begin();
    until = end || last;
    const gap = matched - all.length + (since && missed);
    if (all.length) rows = [...all.reverse(), ...(gap ? [{ number: -until, gap }] : []), ...rows].slice(0, KEPT);
  }
  /** Asks for what has come since, four times a second at most. */
  function soon() {
    if (timer) return;
    const ask = () => {
      timer = 0;
      since = until;
      asked.refresh();
    };
    timer = window.setTimeout(ask, Math.max(0, asked.asked + 250 - performance.now()));
  }
  function begin() {
    [rows, held, until, asked.error] = [[], null, 0, null];
    soon();
  }

  const off = on((topic) => (topic === 'restarted' ? begin() : topic === 'journal' && soon()));
  const drop = want('journal');
  soon();

  const fail = (failed) => (asked.error = failed);
  const turn = (on) => put('/v1/journal', { on }).catch(fail).then(soon);
  const clear = async ({ currentTarget }) => {
    const all = await get('/v1/journal?newest=0').catch(fail);
    const what = html`<span>Forget ${plural(all.matched, 'row')} of the journal.</span>`;
    ask.ask(/** @type {any} */ ({ currentTarget }), what, 'Forget', () => remove('/v1/journal'), begin);
  };
  const pause = () => {
    isPaused = !isPaused;
    soon();
    changed();
    return true;
  };
  const hold = () => (held ??= rows);
  const release = () => {
    held = null;
    changed();
  };
  const leave = ({ currentTarget: list, relatedTarget: to }) => list.contains(to) || list.contains(document.activeElement) || release();

  return {
    title: 'Messages',
    pause,
    cancel: () => ask.cancel(),
    update: begin,
    close() {
      asked.close();
      off();
      drop();
    },
    view() {
      const { error, value } = asked;
      const list = held ?? rows;
      const fresh = rows.indexOf(list[0]);
      return html`<div class="head">
          <h1>Messages</h1>
          ${fresh && list.length ? html`<button @click=${release}>${fresh < 0 ? `${KEPT}+` : fresh} new ↑</button>` : nothing}
          <input type="search" class="line" aria-label="Filter: key:value with blanks between, - in front says what not" placeholder="topic:cars/# client:car1 -type:pingreq"
            .value=${line()} @input=${(event) => route.set({ f: event.target.value })} />
          <a download="roundel.pcapng" href=${url({ format: 'pcapng' })}>pcapng</a> <a download="roundel.jsonl" href=${url({ format: 'jsonl' })}>JSON Lines</a>
          ${value?.on ? html`<button aria-pressed=${isPaused} @click=${pause}>Pause</button> <button @click=${() => turn(false)}>Switch off</button>` : nothing}
          ${rows.length ? html`<button @click=${clear}>Clear …</button>` : nothing}
        </div>
        ${ask.view()} ${error ? failure(error) : nothing}
        ${value?.on === false ? html`<div class="note"><p>The journal is off. While it is on, the broker keeps the last packets of all connections, 10,000 rows and 16 MiB unless
            <code>PUT /v1/journal</code> says otherwise: payloads too, and the passwords in CONNECT.</p><button @click=${() => turn(true)}>Switch the journal on</button></div>` : nothing}
        ${list.length
          ? html`<div @pointerenter=${hold} @pointerleave=${leave} @focusin=${hold} @focusout=${leave}>${draw(list)}</div>`
          : value?.on && !error
            ? html`<p class="note">No row is ${line() ? 'like this' : 'there yet: connect a client'}.</p>`
            : nothing}`;
    },
  };
}

const draw = (list) => {
  const rows = list.map((row) => (row.gap ? row : { ...row, ...brief(row) }));
  return table(rows, (row) => row.number, [
    ['#', (row) => row.link],
    ['Time', (row) => row.when],
    ['From, to', (row) => row.whom],
    ['Packet', (row) => row.what],
    ['About', (row) => (row.gap ? html`<span class="share">${plural(row.gap, 'row')} left out</span>` : name(row.about)), 'about'],
    ['Id', (row) => row.packet_id, 'n'],
    ['Bytes', (row) => row.bytes && number(row.bytes), 'n'],
  ]);
};
