// @ts-check
// A shadow: what is desired, what is so, what differs, and since when.

import { html } from '../vendor/lit-html/lit-html.js';
import { path } from '../api.js';
import { shown } from '../parts/list.js';
import { name, number } from '../parts/text.js';
import { date, watched, words } from './identity.js';

const PARTS = ['desired', 'reported', 'delta'];

/** @param {() => void} changed @param {any} route */
export function open(changed, route) {
  const [thing, own] = route.parts;
  const { asked, close } = watched(() => path('/v1/shadows', thing, ...(own ? [own] : [])), changed);
  return {
    title: thing,
    back: '/console/shadows',
    close,
    view: () => html`<div class="head"><p class="crumb"><a href="/console/shadows">Shadows</a></p>
        <h1>${name(thing, 60)} / ${name(own || 'classic', 60)}</h1>
        <p class="count">${asked.value && `Version ${number(asked.value.version)}`}</p>
        <a href=${path('/console/identity/things', thing)}>Thing</a></div>
      ${shown(asked, table)}`,
  };
}

/** A row for each value, wherever it stands. @param {any} shadow */
function table({ state, metadata }) {
  /** @type {Map<string, any>} */ const rows = new Map();
  const walk = (/** @type {string} */ part, /** @type {string} */ at, /** @type {any} */ value, /** @type {any} */ times) => {
    if (value && typeof value === 'object' && !Array.isArray(value))
      return Object.keys(value).forEach((key) => walk(part, at && key ? `${at}.${key}` : key, value[key], times?.[key]));
    const { timestamp } = [times].flat(9)[0] ?? {};
    if (value !== undefined)
      rows.set(at, { ...rows.get(at), [part]: html`${name(JSON.stringify(value), 60)}<br /><small>${timestamp && date(timestamp * 1000)}</small>` });
  };
  for (const part of PARTS) walk(part, '', state[part], metadata[part]);
  return html`<div class="scroll"><table class="list">
    <thead><tr><th scope="col">Value</th>${PARTS.map((part) => html`<th scope="col">${words(part)}</th>`)}</tr></thead>
    <tbody>${[...rows].map(([at, row]) => html`<tr><th scope="row">${name(at)}</th>
      ${PARTS.map((part) => html`<td class=${part === 'delta' && row.delta ? 'warn' : ''}>${row[part] ?? '–'}</td>`)}</tr>`)}</tbody>
  </table></div>`;
}
