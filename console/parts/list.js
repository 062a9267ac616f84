// What pages share: what is watched, lists, tables, choices, questions before something is taken away, and lines to copy.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { Resource } from '../api.js';
import { on, state, want } from '../store.js';
import { failure, instead, number, plural } from './text.js';

/** Asks now, and when the stream tells one of the topics of `gaps`, at most every so many ms; `more` is one that it does not tell anyhow. */
export function watch(url, changed, gaps, more = '') {
  const asked = new Resource(url, changed);
  const off = on((topic) => {
    const gap = topic === 'restarted' ? 500 : gaps[topic];
    // Whoever has very many clients is shown them less often.
    if (gap) asked.soon(state.stats?.sessions > 2000 ? 5 * gap : gap);
  });
  const drop = more ? want(more) : () => {};
  asked.refresh();
  return {
    asked,
    update: () => void asked.refresh(),
    close() {
      off();
      drop();
      asked.close();
    },
  };
}

/** The field by which the broker is to search. */
export const search = (route, label, placeholder) => html`<input type="search" aria-label=${label} placeholder=${placeholder}
  .value=${route.query.get('q') ?? ''} @input=${(event) => route.set({ q: event.target.value, after: '' })} />`;

/** What is shown of something that was asked for: that it failed, that it takes long, and it. @param {Resource} asked */
export const shown = (asked, view) => html`${instead(asked)} ${asked.value ? view(asked.value) : ''}`;

/** A page with a list; `page` says what its rows are called, their `limit`, the texts of the field, the `key` of the last row for the next page. */
export const list = (route, asked, page) => html`<div class="head">
    <h1>${page.title}</h1>
    <p class="count">${asked.value ? plural(asked.value.total, page.one) : ''}</p>
    ${page.choice} ${search(route, page.label, page.placeholder)}
  </div>
  ${shown(asked, (value) => {
    const rows = /** @type {any} */ (Object.values(value)[0]);
    const isFirst = !route.query.get('after');
    const isLast = rows.length < page.limit || value.total <= page.limit;
    return html`${rows.length ? page.table(rows) : page.empty()} ${isFirst && isLast ? nothing : html`<p class="pager">
      ${isFirst ? nothing : html`<a href=${route.href({ after: '' })}>First page</a>`}
      ${isLast ? nothing : html`<a href=${route.href({ after: page.key(rows.at(-1)) })}>Next page</a>`}
      ${plural(rows.length, page.one)} of ${number(value.total)} shown</p>`}`;
  })}`;

/**
 * A table of rows. A column is its title, the cell of a row, a class (`n`: numbers, `row`: it names the row), and
 * perhaps one for a cell: `warn`, `bad`.
 * @param {any[]} rows @param {[title: unknown, cell: (row) => unknown, kind?: string, mark?: (row) => string][]} columns
 */
export const table = (rows, columns) => html`<div class="scroll"><table class="list">
  <thead><tr>${columns.map(([title, , kind = '']) => (title ? html`<th scope="col" class=${kind}>${title}</th>` : html`<td></td>`))}</tr></thead>
  <tbody>${rows.map((row) => html`<tr>${columns.map(([, cell, kind = '', mark]) =>
    kind === 'row' ? html`<th scope="row">${cell(row)}</th>` : html`<td class="${kind} ${mark?.(row) ?? ''}">${cell(row)}</td>`,
  )}</tr>`)}</tbody>
</table></div>`;

/** A column of `table` with a count, marked where there are any. @returns {any} */
export const count = (title, key, mark = '') => [title, (row) => number(row[key]), 'n', (row) => (row[key] ? mark : '')];

/** One of a few, as buttons; what is chosen stands in the query. @param {string[][]} choices each a value and its title */
export const choice = (route, key, label, choices) => html`<div class="tabs" role="group" aria-label=${label}>
  ${choices.map(([value, title]) => html`<button aria-pressed=${(route.query.get(key) ?? '') === value} @click=${() => route.set({ [key]: value, after: '' })}>${title}</button>`)}
</div>`;

/** Lines that work against this very broker, to copy: perhaps a certificate, two that subscribe, and one that publishes. */
export const samples = (from = 0, to = 9) => (state.start?.languages[0]?.steps ?? []).flatMap(({ texts }) => texts).slice(from, to).map(copyable);

/** A part of a page with a title. */
export const panel = (title, ...content) => html`<section class="panel"><h2>${title}</h2>${content}</section>`;

/** Facts, by what they are called, or in pairs; one without a value is none. @param {any} facts */
export const pairs = (facts) => html`<dl class="pairs">${(Array.isArray(facts) ? facts : Object.entries(facts)).map(([title, value]) =>
  value === '' || value === false || value == null ? nothing : html`<div><dt>${title}</dt><dd>${value}</dd></div>`)}</dl>`;

/** The head of a page below another one, to which it leads back. */
export const head = (back, from, title, more = nothing) => html`<div class="head"><p class="crumb"><a href=${back}>${from}</a></p><h1>${title}</h1>${more}</div>`;

/** A question in the place where a button was: what is about to be done, and to whom. */
export class Ask {
  /** @type {any} */ open = null;
  /** @type {any} */ error = null;
  busy = false;

  constructor(changed) {
    this.changed = changed;
  }

  /** `what` is the question, with fields if there are any; `run` gets the form. @param {any} event @param {any} what @param {string} verb */
  ask(event, what, verb, run, done = () => {}) {
    this.open = { what, verb, run, done, opener: event.currentTarget };
    this.error = null;
    this.changed();
    requestAnimationFrame(() => /** @type {any} */ (document.querySelector('.ask select, .ask button'))?.focus());
  }

  /** Whether there was a question to send away. */
  cancel() {
    const { open } = this;
    this.open = null;
    this.changed();
    open?.opener.focus();
    return !!open;
  }

  async submit(event, { run, done }) {
    event.preventDefault();
    this.busy = true;
    try {
      await run(event.target);
      this.open = null;
      done();
    } catch (error) {
      this.error = error;
    }
    this.busy = false;
    this.changed();
  }

  view() {
    const { open } = this;
    if (!open) return nothing;
    return html`<form class="ask" @submit=${(event) => this.submit(event, open)}>
      ${open.what} <button class="danger" ?disabled=${this.busy}>${open.verb}</button>
      <button type="button" @click=${() => this.cancel()}>Cancel</button>
      ${this.error ? failure(this.error) : nothing}
    </form>`;
  }
}

/** A text with a button that copies it. @param {string} text */
export const copyable = (text) => html`<div class="copyable"><pre tabindex="0">${text}</pre><button @click=${copy}>Copy</button></div>`;

function copy({ currentTarget: button }) {
  getSelection()?.selectAllChildren(button.previousElementSibling);
  // Unlike `navigator.clipboard` it works over plain HTTP under another name than localhost, too.
  button.textContent = document.execCommand('copy') ? 'Copied' : 'Marked';
  setTimeout(() => (button.textContent = 'Copy'), 1500);
}
