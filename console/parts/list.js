// @ts-check
// What pages with a list share: a head with the filter, the states of the list, and the way to the next page.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { repeat } from '../vendor/lit-html/directives/repeat.js';
import { failure, number, plural } from './text.js';

/** The field by which the broker is to search. @param {any} route @param {string} label @param {string} placeholder */
export const search = (route, label, placeholder) => html`<input
  type="search"
  aria-label=${label}
  placeholder=${placeholder}
  .value=${route.query.get('q') ?? ''}
  @input=${(/** @type {any} */ event) => route.set({ q: event.target.value, after: '' })}
/>`;

/** What is shown of something that was asked for: that it failed, that it takes long, and it. @param {import('../api.js').Resource} asked @param {(value: any) => unknown} view */
export const shown = (asked, view) =>
  html`${asked.error ? failure(asked.error) : nothing} ${asked.loading ? html`<p class="note">Loading …</p>` : nothing}
  ${asked.value ? view(asked.value) : nothing}`;

/**
 * A page with a list of which the broker hands out `limit` at a time.
 * @param {any} route @param {import('../api.js').Resource} asked
 * @param {{ title: string, one: string, limit: number, label: string, placeholder: string, choice?: unknown,
 *   rows: (value: any) => any[], key: (last: any) => string, table: (rows: any[]) => unknown, empty: () => unknown }} page
 */
export function list(route, asked, page) {
  return html`<div class="head">
      <h1>${page.title}</h1>
      <p class="count">${asked.value ? plural(asked.value.total, page.one) : ''}</p>
      ${page.choice ?? nothing} ${search(route, page.label, page.placeholder)}
    </div>
    ${shown(asked, (value) => {
      const rows = page.rows(value);
      const after = route.query.get('after');
      const more = rows.length === page.limit && value.total > page.limit;
      return html`${rows.length ? page.table(rows) : page.empty()}
      ${after || more
        ? html`<p class="pager">
            ${after ? html`<a href=${route.href({ after: '' })}>First page</a>` : nothing}
            ${more ? html`<a href=${route.href({ after: page.key(rows.at(-1)) })}>Next page</a>` : nothing}
            <span>${plural(rows.length, page.one)} of ${number(value.total)} shown</span>
          </p>`
        : nothing}`;
    })}`;
}

/**
 * A table of rows that `key` tells apart. A column is its title, the cell of a row, a class (`n`: numbers, `row`: the
 * cell names its row), and a further class for the cell of a row: `warn`, `bad`.
 * @param {any[]} rows @param {(row) => unknown} key
 * @param {[title: unknown, cell: (row) => unknown, kind?: string, mark?: (row) => string][]} columns
 */
export const table = (rows, key, columns) => html`<div class="scroll"><table class="list">
  <thead><tr>${columns.map(([title, , kind = '']) => html`<th scope="col" class=${kind}>${title}</th>`)}</tr></thead>
  <tbody>${repeat(rows, key, (row) => html`<tr>${columns.map(([, cell, kind = '', mark]) =>
    kind === 'row' ? html`<th scope="row">${cell(row)}</th>` : html`<td class="${kind} ${mark?.(row) ?? ''}">${cell(row)}</td>`,
  )}</tr>`)}</tbody>
</table></div>`;

/** A column of `table` with a count, marked where there are any. @returns {any} */
export const count = (title, key, mark = '') => [title, (row) => number(row[key]), 'n', (row) => (row[key] ? mark : '')];

/** One of a few, as buttons; what is chosen stands in the query. @param {any} route @param {string} key @param {string} label @param {[string, string][]} choices */
export const choice = (route, key, label, choices) => html`<div class="tabs" role="group" aria-label=${label}>
  ${choices.map(
    ([value, title]) => html`<button aria-pressed=${(route.query.get(key) ?? '') === value} @click=${() => route.set({ [key]: value, after: '' })}>${title}</button>`,
  )}
</div>`;
