// @ts-check
// Rows of the journal, wherever they stand.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { path } from '../api.js';
import { name, short } from './text.js';

/** The page with the rows that `key:value` finds. @param {string} key @param {string} value */
export const found = (key, value) => `/console/messages?f=${encodeURIComponent(`${key}:"${value.replace(/["\\]/g, '\\$&')}"`)}`;

/** Who sent it to whom. @param {any} row */
export function whom(row) {
  const client = row.client
    ? html`<a href=${path('/console/clients', row.client)}>${name(row.client, 24)}</a>`
    : html`<span class="share">${row.listener} ${row.peer}</span>`;
  return { in: html`${client} → broker`, out: html`broker → ${client}` }[/** @type {string} */ (row.direction)] ?? client;
}

/** What it is, and what a rule did with it. @param {any} row */
export const what = (row) => html`${row.event ? html`<em>${row.what}</em>` : row.what}
  ${row.did ? html`<span class="chip warn">${short(row.rule ?? '', 20)} ${row.did}</span>` : nothing}`;
