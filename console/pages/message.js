// @ts-check
// One row of the journal: its fields beside its bytes, and what it is linked with.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { path } from '../api.js';
import { choice, shown, watch } from '../parts/list.js';
import { ascii, hex, payload, unpacked, VIEWS } from '../parts/payload.js';
import { bytes as size, group, name, number } from '../parts/text.js';
import { brief, found } from './messages.js';

/** Bytes in lines of 16. @param {Uint8Array} bytes @param {(at: number) => string} mark the class of a byte @param {(at: number) => boolean} secret */
const dump = (bytes, mark, secret) =>
  Array.from({ length: Math.ceil(bytes.length / 16) }, (_, line) => {
    const start = line * 16;
    const cells = (show) =>
      Array.from(bytes.subarray(start, start + 16), (byte, at) => html`<i data-at=${start + at} class=${mark(start + at)}>${show(secret(start + at) ? 42 : byte)}</i>`);
    return html`<div><code>${start.toString(16).padStart(4, '0')}</code><span>${cells(hex)}</span><span>${cells(ascii)}</span></div>`;
  });

export function open(changed, route) {
  const [id] = route.parts;
  // What comes of it may still come.
  const { asked: row, close } = watch(() => path('/v1/journal', id), changed, { journal: 2000 }, 'journal');
  let [most, at] = [512, -1];

  /** Looks at a field. */
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
          <section class="panel"><h2>Fields and bytes</h2>
            <div class="packet" @pointerleave=${() => look(-1)}>
              <ol>${layout.map((part, place) => html`<li tabindex="0" data-row class="d${part.depth} ${place === at ? 'mark' : ''}" @pointerenter=${() => look(place)} @focus=${() => look(place)}>${part.name} <span>${name(part.value, 60)}</span></li>`)}</ol>
              <div class="dump" @pointerover=${(event) => look(field(Number(event.target.dataset.at ?? -1)))}>
                ${dump(bytes.subarray(0, most), (byte) => (from <= byte && byte < to ? 'mark' : ''), (byte) => layout[field(byte)]?.secret)}</div>
            </div>
            <p class="small">${size(one.bytes)}${one.bytes > bytes.length ? `, of which ${size(bytes.length)} were kept` : ''}
              ${bytes.length > most ? html`<button @click=${more}>Show more than ${number(most)}</button>` : nothing}</p>
          </section>
          ${body ? html`<section class="panel"><div class="head"><h2>Payload</h2>${choice(route, 'view', 'Payload as', VIEWS)}</div>${payload(bytes.subarray(body.from, body.to), route.query.get('view'), one.bytes - body.from)}</section>` : nothing}
        </div>
        ${links(one)}
      </div>`;
  }

  return {
    title: `#${id}`,
    back: '/console/messages',
    close,
    view: () => html`<div class="head"><p class="crumb"><a href="/console/messages">Messages</a></p><h1>#${name(id, 20)} ${row.value ? brief(row.value).what : ''}</h1></div>
      ${shown(row, view)}`,
  };
}

function links(one) {
  const { cause, answers, answered_by, deliveries, deliveries_total: total, groups } = one.links;
  const list = (title, rows) =>
    rows[0] ? html`<h3>${title}</h3><ul class="links">${rows.map(brief).map(({ link, what, whom, when }) => html`<li>${link} ${what} ${whom} ${when}</li>`)}</ul>` : nothing;
  const all = { topic: one.packet?.topic || one.topic, client: one.client, connection: one.connection };
  return html`<section class="panel"><h2>What it belongs to</h2>
    ${list('Caused by', [cause])} ${list('Answers', [answers])} ${list('Answered by', answered_by)}
    ${list(`Delivered: ${number(total)}${total > deliveries.length ? `, the first ${deliveries.length}` : ''}`, deliveries)}
    ${groups[0] ? html`<h3>Groups of this client with this topic</h3><ul>${groups.map(({ share, filter }) => html`<li><a href=${path('/console/groups', share, filter)}>${group(share, filter, 30)}</a></li>`)}</ul>` : nothing}
    <h3>Look for</h3><ul>${Object.entries(all).map(([key, value]) => (value ? html`<li><a href=${found(key, value)}>this ${key}</a></li>` : nothing))}</ul>
  </section>`;
}
