// @ts-check
// What the registry has, kind by kind, the shadows of its things, and what was refused lately.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { path, query, Resource } from '../api.js';
import { on, state } from '../store.js';
import { awsCli, copyable } from '../parts/commands.js';
import { choice, list, shown } from '../parts/list.js';
import { moment, name, number } from '../parts/text.js';
import { pair } from './client.js';

const KINDS = ['things', 'certificates', 'policies', 'thing-groups', 'authorizers', 'refusals'];
/** What makes the first; operations are the AWS CLI's. @type {Record<string, string>} */
const FIRST = {
  things: 'iot create-thing --thing-name car1',
  certificates: 'roundel cert car1',
  refusals: '',
  shadows: `iot-data update-thing-shadow --thing-name car1 --cli-binary-format raw-in-base64-out \\
  --payload '{"state": {"desired": {"light": "on"}}}' /dev/stdout`,
};
const REFUSAL = ['action', 'resource', 'client_id', 'principal', 'at_ms', 'count', 'why'];

/** Asks again while somebody looks. @param {() => string} url @param {() => void} changed */
export function watched(url, changed) {
  const asked = new Resource(url, changed);
  const off = on((topic) => /stats|restarted/.test(topic) && asked.soon(2000));
  asked.refresh();
  return { asked, close: () => (off(), asked.close()) };
}

/** @param {() => void} changed @param {any} route */
export function open(changed, route) {
  const isShadows = location.pathname.endsWith('shadows');
  const kind = () => (isShadows ? 'shadows' : route.query.get('kind') || 'things');
  const { asked, close } = watched(() => {
    const { q, after } = Object.fromEntries(route.query);
    // All that the broker keeps.
    if (kind() === 'refusals') return `/v1/refusals${query({ q, limit: 256 })}`;
    return path(isShadows ? '/v1' : '/v1/identity', kind()) + query({ q, after });
  }, changed);
  const title = isShadows ? 'Shadows' : 'Identity';
  let last = kind();
  return {
    title,
    close,
    update() {
      if (last !== kind()) asked.value = null;
      last = kind();
      asked.refresh();
    },
    view: () =>
      list(route, asked, {
        title,
        one: 'row',
        limit: last === 'refusals' ? 257 : 100,
        label: 'Filter: part of the name',
        placeholder: last === 'refusals' ? 'client or resource' : 'name',
        choice: isShadows
          ? nothing
          : html`${choice(route, 'kind', 'Kind', KINDS.map((one) => [one === 'things' ? '' : one, words(one)]))}
              <a href="/console/identity/explain">Explain …</a>`,
        rows: (value) => /** @type {any} */ (Object.values(value)[0]),
        key: (row) => (row.thing ? [row.thing, row.name ?? []].flat().join('/') : row.id ?? row.name),
        table: (rows) => table(last, rows),
        empty: () => (route.query.get('q') ? html`<p class="note">No name here has that in it.</p>` : empty(FIRST[last] ?? 'roundel registry import fleet.toml')),
      }),
  };
}

/** @param {string} first */
const empty = (first) => html`<div class="note">${first ? 'There is none yet. This makes the first:' : 'Nothing was refused.'}
  ${first && state.info && copyable(first.startsWith('iot') ? `${awsCli(state.info)} ${first}` : first)}</div>`;

/** @param {any} value */
export const json = (value) => value && copyable(JSON.stringify(value, null, 2));
/** A local time with its day. @param {number} ms */
export const date = (ms) => new Date(ms).toLocaleString('sv');
/** @param {string} key */
export const words = (key) => key.replace('_ms', '').replace(/[_-]/g, ' ').replace(/^(arn|.)/, (first) => first.toUpperCase());

/** A value as people read it. @param {string} key @param {any} value @param {number} [most] @returns {any} */
function cell(key, value, most = 40) {
  if (value == null) return '–';
  if (key === 'at_ms') return moment(value);
  if (key.endsWith('_ms')) return date(value);
  if (key === 'status') return html`<span class="state ${value === 'ACTIVE' ? 'online' : 'away'}">${words(value.toLowerCase())}</span>`;
  // What it would take stands in the explanation.
  if (key === 'why') value = value.replace(/ iot\w*:\w+ on .*/s, ' it');
  if (value === !!value) return value ? 'yes' : 'no';
  return typeof value === 'number' ? number(value) : name(value, most);
}

/** Where a row leads. @param {string} kind @param {any} row */
const place = (kind, row) =>
  kind === 'refusals' ? row.explain && `/console/identity/explain?${row.explain}`
  : kind === 'shadows' ? path('/console/shadows', row.thing, row.name ?? '')
  : path('/console/identity', kind, row.id ?? row.name);

/** The columns are what the API says of each. @param {string} kind @param {any[]} rows */
function table(kind, rows) {
  const keys = kind === 'refusals' ? REFUSAL : Object.keys(rows[0]);
  const n = (/** @type {string} */ key) => (typeof rows[0][key] === 'number' && !key.endsWith('_ms') ? 'n' : '');
  return html`<div class="scroll"><table class="list">
    <thead><tr>${keys.map((key) => html`<th scope="col" class=${n(key)}>${words(key)}</th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr>${keys.map((key, at) => {
      const text = cell(key, row[key], /^id|principal/.test(key) ? 16 : 48);
      const to = place(kind, row);
      return at ? html`<td class=${n(key)}>${text}</td>` : html`<th scope="row">${to ? html`<a href=${to} data-row>${text}</a>` : text}</th>`;
    })}</tr>`)}</tbody>
  </table></div>`;
}

/** One resource, with ways to what it belongs to. @param {() => void} changed @param {any} route */
export function openOne(changed, route) {
  const [kind, id] = route.parts;
  const { asked, close } = watched(() => path('/v1/identity', kind, id), changed);
  const back = `/console/identity${query({ kind: kind.replace('things', '') })}`;
  const pairs = (/** @type {any} */ of, title = words, value = cell) =>
    html`<dl class="pairs">${Object.keys(of).map((key) => pair(title(key), of[key] && typeof of[key] === 'object' ? null : value(key, of[key], 200)))}</dl>`;
  return {
    title: id,
    back,
    close,
    view: () => html`<div class="head"><p class="crumb"><a href=${back}>${words(kind)}</a></p><h1>${name(id, 64)}</h1></div>
      ${shown(asked, (one) => html`<div class="columns">
        <div>
          <section class="panel">${pairs(one)} </section>
          ${one.attributes && html`<section class="panel"><h2>Attributes</h2>${pairs(one.attributes, (key) => key, (_, value) => name(value, 200))}</section>`}
          ${one.versions?.map((/** @type {any} */ { document, ...rest }) => html`<section class="panel">${pairs(rest)}<br />${json(JSON.parse(document))}</section>`)}
        </div>
        <div>${Object.keys(one).map((key) => one[key]?.total >= 0 ? links(id, key, one[key]) : nothing)}</div>
      </div>`)}`,
  };
}

/** @param {string} of @param {string} key @param {{ entries: any[], total: number }} found */
function links(of, key, { entries, total }) {
  const kind = /parents|children/.test(key) ? 'thing-groups' : key.replace('_', '-');
  return html`<section class="panel"><h2>${words(key)}: ${number(total)}</h2>
    ${entries.map((one) => html`<p><a data-row href=${place(kind, { thing: of, ...one })}>${name(one.title ?? (one.name || 'classic'))}</a>
      ${one.title && html`<small>${name(one.name, 16)}</small>`}</p>`)}
    ${entries.length < total ? `The first ${entries.length} are shown.` : nothing}
  </section>`;
}
