// @ts-check
// One row of the journal: its fields beside its bytes, and what it is linked with.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { Resource } from '../api.js';
import { on, want } from '../store.js';
import { choice, shown } from '../parts/list.js';
import { dump, payload, unpacked, VIEWS } from '../parts/payload.js';
import { found, what, whom } from '../parts/rows.js';
import { bytes as size, moment, name, number } from '../parts/text.js';

/** @param {() => void} changed @param {any} route */
export function open(changed, route) {
  const [id] = route.parts;
  const row = new Resource(() => `/v1/journal/${encodeURIComponent(id)}`, changed);
  let most = 512;
  /** The field that is looked at. */ let at = -1;
  row.refresh();
  // What comes of it may still come.
  const off = on((topic) => topic === 'journal' && row.soon(2000));
  const drop = want('journal');

  const look = (/** @type {number} */ place) => {
    at = place;
    changed();
  };

  /** @param {any} one */
  function view(one) {
    /** @type {any[]} */ const layout = one.layout;
    const bytes = unpacked(one.raw_base64 ?? '');
    const field = (/** @type {number} */ byte) => layout.findLastIndex(({ from, to }) => from <= byte && byte < to);
    const under = (/** @type {any} */ event) => field(Number(event.target.dataset.at ?? -1));
    const { from = 0, to = 0 } = layout[at] ?? {};
    const body = layout.find((part) => part.name === 'Payload');
    return html`<p>${whom(one)} · <time title=${one.at}>${moment(Date.parse(one.at))}</time> · ${name(one.about, 90)}</p>
      <div class="columns">
        ${layout.length
          ? html`<div>
              <section class="panel"><h2>Fields and bytes</h2>
                <div class="packet" @pointerleave=${() => look(-1)}>
                  <ol>${layout.map((part, place) => html`<li tabindex="0" data-row class="d${part.depth} ${place === at ? 'mark' : ''}" @pointerenter=${() => look(place)} @focus=${() => look(place)}>${part.name} <span>${name(part.value, 60)}</span></li>`)}</ol>
                  <div class="dump" @pointerover=${(/** @type {any} */ event) => look(under(event))}>${dump(
                    bytes.subarray(0, most),
                    (byte) => (from <= byte && byte < to ? 'mark' : ''),
                    (byte) => layout[field(byte)]?.secret,
                  )}</div>
                </div>
                <p class="small">${size(one.bytes)}${one.bytes > bytes.length ? `, of which ${size(bytes.length)} were kept` : ''}
                  ${bytes.length > most ? html`<button @click=${() => look(((most *= 8), at))}>Show more than ${number(most)} bytes</button>` : nothing}</p>
              </section>
              ${body
                ? html`<section class="panel"><div class="head"><h2>Payload</h2>${choice(route, 'view', 'Payload as', VIEWS)}</div>
                    ${payload(bytes.subarray(body.from, body.to), route.query.get('view'), one.bytes - body.from)}</section>`
                : nothing}
            </div>`
          : nothing}
        ${links(one)}
      </div>`;
  }

  return {
    title: `#${id}`,
    back: '/console/messages',
    close() {
      off();
      drop();
      row.close();
    },
    view: () => html`<div class="head"><p class="crumb"><a href="/console/messages">Messages</a></p><h1>#${name(id, 20)} ${row.value ? what(row.value) : ''}</h1></div>
      ${shown(row, view)}`,
  };
}

/** @param {any} one */
function links(one) {
  const { cause, answers, answered_by: answered, deliveries, deliveries_total: total } = one.links;
  const topic = one.packet?.topic || one.topic;
  const list = (/** @type {string} */ title, /** @type {any[]} */ rows) =>
    rows[0] ? html`<h3>${title}</h3><ul class="links">${rows.map((row) => html`<li><a href="/console/messages/${row.number}" data-row>#${row.number}</a> ${what(row)} ${whom(row)} <small>${Date.parse(row.at) - Date.parse(one.at)} ms</small></li>`)}</ul>` : nothing;
  return html`<section class="panel"><h2>What it belongs to</h2>
    ${list('Caused by', [cause])} ${list('Answers', [answers])} ${list('Answered by', answered)}
    ${list(`Delivered: ${number(total)}${total > deliveries.length ? `, the first ${deliveries.length}` : ''}`, deliveries)}
    <h3>Look for</h3>
    <ul>
      ${topic ? html`<li><a href=${found('topic', topic)}>this topic</a></li>` : nothing}
      ${one.client ? html`<li><a href=${found('client', one.client)}>this client</a></li>` : nothing}
      <li><a href=${found('connection', String(one.connection))}>this connection</a></li>
    </ul>
  </section>`;
}
