// @ts-check
// Rows of the journal, wherever they stand.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { path } from '../api.js';
import { moment, name, short } from './text.js';

/** The page with the rows that `key:value` finds. @param {string} key @param {any} value */
export const found = (key, value) => `/console/messages?f=${encodeURIComponent(`${key}:"${`${value}`.replace(/["\\]/g, '\\$&')}"`)}`;

/** The parts of a brief row: a link to it, when it was, what it is and what a rule did with it, who sent it to whom. @param {any} row */
export function brief(row) {
  const client = row.client ? html`<a href=${path('/console/clients', row.client)}>${name(row.client, 24)}</a>` : html`${row.listener} ${row.peer}`;
  return {
    link: html`<a href="/console/messages/${row.number}" data-row>#${row.number}</a>`,
    when: html`<time title=${row.at}>${moment(Date.parse(row.at))}</time>`,
    what: html`${row.event ? html`<em>${row.what}</em>` : row.what} ${row.did ? html`<span class="chip warn">${short(row.rule ?? '', 20)} ${row.did}</span>` : nothing}`,
    whom: row.direction === 'in' ? html`${client} → broker` : row.direction ? html`broker → ${client}` : client,
  };
}
