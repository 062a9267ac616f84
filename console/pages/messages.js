// What goes over the connections, as the journal has it: the newest rows first.

import { html } from '../vendor/lit-html/lit-html.js';
import { get, path, put, query, remove, Resource } from '../api.js';
import { on, want } from '../store.js';
import { Ask, choice, head, panel, shown, table, watch } from '../parts/list.js';
import { ascii, bytes as size, failure, group, hex, moment, name, number, payload, plural, short, unpacked, VIEWS } from '../parts/text.js';

/** Rows that are kept, asked for at first, and then at a time. */
const [KEPT, FIRST, NEXT] = [100, 100, 25];

/** The page with the rows that `key:value` finds. */
export const found = (key, value) => `/console/messages${query({ f: `${key}:"${`${value}`.replace(/["\\]/g, '\\$&')}"` })}`;

/** The parts of a brief row: a link to it, when it was, what it is and what a rule did with it, who sent it to whom. */
export function brief(row) {
  const client = row.client ? html`<a href=${path('/console/clients', row.client)}>${name(row.client, 24)}</a>` : html`${row.listener} ${row.peer}`;
  return {
    link: html`<a href="/console/messages/${row.number}" data-row>#${row.number}</a>`,
    when: html`<time title=${row.at}>${moment(Date.parse(row.at))}</time>`,
    what: html`${row.event ? html`<em>${row.what}</em>` : row.what} ${row.did ? html`<span class="chip warn">${short(row.rule ?? '', 20)} ${row.did}</span>` : ''}`,
    whom: row.direction === 'in' ? html`${client} → broker` : row.direction ? html`broker → ${client}` : client,
  };
}

export function open(changed, route) {
  const ask = new Ask(changed);
  /** The newest first, one with a `gap` for those that were left out; as they are looked at; the answer with the last. */
  let [rows, held, taken] = /** @type {any[]} */ ([[]]);
  let [isPaused, since, until, timer] = [false, 0, 0, 0];
  const line = () => route.query.get('f') ?? '';
  const url = (more) => `/v1/journal${query({ match: line().trim(), ...more })}`;
  const asked = new Resource(
    () => (isPaused ? '' : url({ newest: since ? NEXT : FIRST, since, brief: 'true' })),
    () => {
      if (asked.value && asked.value !== taken) take(asked.value);
      // The answer to what is asked next goes on where this one ends.
      if (asked.again) since = until;
      changed();
    },
  );

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
    [rows, held, since, until, asked.error] = [[], null, 0, 0, null];
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
    ask.ask({ currentTarget }, what, 'Forget', () => remove('/v1/journal'), begin);
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
          ${fresh && list.length ? html`<button @click=${release}>${fresh < 0 ? `${KEPT}+` : fresh} new ↑</button>` : ''}
          <input type="search" class="line" aria-label="Filter: key:value with blanks between, - in front says what not" placeholder="topic:cars/# client:car1 -type:pingreq"
            .value=${line()} @input=${(event) => route.set({ f: event.target.value })} />
          <a download="roundel.pcapng" href=${url({ format: 'pcapng' })}>pcapng</a> <a download="roundel.jsonl" href=${url({ format: 'jsonl' })}>JSON Lines</a>
          ${value?.on ? html`<button aria-pressed=${isPaused} @click=${pause}>Pause</button> <button @click=${() => turn(false)}>Switch off</button>` : ''}
          ${rows.length ? html`<button @click=${clear}>Clear …</button>` : ''}
        </div>
        ${ask.view()} ${error ? failure(error) : ''}
        ${value?.on === false ? html`<div class="note"><p>The journal is off. While it is on, the broker keeps the last packets of all connections, in 16 MiB: payloads too, and passwords.</p><button @click=${() => turn(true)}>Switch the journal on</button></div>` : ''}
        ${list.length
          ? html`<div @pointerenter=${hold} @pointerleave=${leave} @focusin=${hold} @focusout=${leave}>${draw(list)}</div>`
          : value?.on && !error
            ? html`<p class="note">No row is ${line() ? 'like this' : 'there yet: connect a client'}.</p>`
            : ''}`;
    },
  };
}

const draw = (list) => {
  const rows = list.map((row) => (row.gap ? row : { ...row, ...brief(row) }));
  return table(rows, [
    ['#', (row) => row.link],
    ['Time', (row) => row.when],
    ['From, to', (row) => row.whom],
    ['Packet', (row) => row.what],
    ['About', (row) => (row.gap ? html`<span class="share">${plural(row.gap, 'row')} left out</span>` : name(row.about)), 'about'],
    ['Id', (row) => row.packet_id, 'n'],
    ['Bytes', (row) => row.bytes && number(row.bytes), 'n'],
  ]);
};

/** Bytes in lines of 16; `mark` has the class of each. */
const dump = (bytes, mark, secret) =>
  Array.from({ length: Math.ceil(bytes.length / 16) }, (_, line) => {
    const start = line * 16;
    const cells = (show) =>
      Array.from(bytes.subarray(start, start + 16), (byte, at) => html`<i data-at=${start + at} class=${mark(start + at)}>${show(secret(start + at) ? 42 : byte)}</i>`);
    return html`<div><code>${start.toString(16).padStart(4, '0')}</code><span>${cells(hex)}</span><span>${cells(ascii)}</span></div>`;
  });

/** One row: its fields beside its bytes, and what it is linked with. */
export function openOne(changed, route) {
  const [id] = route.parts;
  const { asked: row, close } = watch(() => path('/v1/journal', id), changed, { journal: 2000 }, 'journal');
  let [most, at] = [512, -1];

  const look = (place) => {
    at = place;
    changed();
  };

  const more = () => {
    most *= 8;
    changed();
  };

  function view(one) {
    const { layout } = one;
    const bytes = unpacked(one.raw_base64 ?? '');
    /** The field of a byte. */
    const field = (byte) => layout.findLastIndex(({ from, to }) => from <= byte && byte < to);
    const { from = 0, to = 0 } = layout[at] ?? {};
    const body = layout.find((part) => part.name === 'Payload');
    const { whom, when } = brief(one);
    return html`<p>${whom} · ${when} · ${name(one.about, 90)}</p>
      <div class="columns">
        <div ?hidden=${!layout.length}>
          ${panel('Fields and bytes', html`<div class="packet" @pointerleave=${() => look(-1)}>
              <ol>${layout.map((part, place) => html`<li tabindex="0" data-row class="d${part.depth} ${place === at ? 'mark' : ''}" @pointerenter=${() => look(place)} @focus=${() => look(place)}>${part.name} <span>${name(part.value, 60)}</span></li>`)}</ol>
              <div class="dump" @pointerover=${(event) => look(field(Number(event.target.dataset.at ?? -1)))}>
                ${dump(bytes.subarray(0, most), (byte) => (from <= byte && byte < to ? 'mark' : ''), (byte) => layout[field(byte)]?.secret)}</div>
            </div>
            <p class="small">${size(one.bytes)}${one.bytes > bytes.length ? `, of which ${size(bytes.length)} were kept` : ''}
              ${bytes.length > most ? html`<button @click=${more}>Show more than ${number(most)}</button>` : ''}</p>`)}
          ${body ? html`<section class="panel"><div class="head"><h2>Payload</h2>${choice(route, 'view', 'Payload as', VIEWS)}</div>${payload(bytes.subarray(body.from, body.to), route.query.get('view'), one.bytes - body.from)}</section>` : ''}
        </div>
        ${links(one)}
      </div>`;
  }

  return {
    title: `#${id}`,
    back: '/console/messages',
    close,
    view: () => html`${head('/console/messages', 'Messages', html`#${name(id, 20)} ${row.value ? brief(row.value).what : ''}`)} ${shown(row, view)}`,
  };
}

function links(one) {
  const { cause, answers, answered_by, deliveries, deliveries_total: total, groups } = one.links;
  const list = (title, rows) =>
    rows[0] ? html`<h3>${title}</h3><ul class="links">${rows.map(brief).map(({ link, what, whom, when }) => html`<li>${link} ${what} ${whom} ${when}</li>`)}</ul>` : '';
  const all = { topic: one.packet?.topic || one.topic, client: one.client, connection: one.connection };
  return panel('What it belongs to', html`${list('Caused by', [cause])} ${list('Answers', [answers])} ${list('Answered by', answered_by)}
    ${list(`Delivered: ${number(total)}${total > deliveries.length ? `, the first ${deliveries.length}` : ''}`, deliveries)}
    ${groups[0] ? html`<h3>Groups of this client with this topic</h3><ul>${groups.map(({ share, filter }) => html`<li><a href=${path('/console/groups', share, filter)}>${group(share, filter, 30)}</a></li>`)}</ul>` : ''}
    <h3>Look for</h3><ul>${Object.entries(all).map(([key, value]) => (value ? html`<li><a href=${found(key, value)}>this ${key}</a></li>` : ''))}</ul>`);
}
