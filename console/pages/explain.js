// @ts-check
// What a client may do, and why: asked of the policies as they stand, for as long as the page is open.

import { html } from '../vendor/lit-html/lit-html.js';
import { path, query } from '../api.js';
import { shown } from '../parts/list.js';
import { name } from '../parts/text.js';
import { pair } from './client.js';
import { json, watched } from './identity.js';

const ACTIONS = ['publish', 'subscribe', 'receive', 'connect'];
const FIELDS = { client: 'Client', certificate: 'Certificate', resource: 'Resource' };
const BACK = '/console/identity?kind=refusals';

/** @param {() => void} changed @param {any} route */
export function open(changed, route) {
  const given = () => ({ action: 'publish', ...Object.fromEntries(route.query) });
  const isWhole = () => {
    /** @type {any} */ const { client, certificate, access_key, action, resource } = given();
    return (client || certificate || access_key) && (resource || action === 'connect');
  };
  const { asked, close } = watched(() => (isWhole() ? `/v1/policy/explain${query(given())}` : ''), changed);
  return {
    title: 'Explain',
    back: BACK,
    close,
    update() {
      asked.value = null;
      asked.refresh();
    },
    view() {
      /** @type {any} */ const now = given();
      // What held before is no answer.
      if (asked.error) asked.value = null;
      return html`<div class="head"><p class="crumb"><a href=${BACK}>Refusals</a></p><h1>Explain</h1></div>
        <form class="panel figures" @submit=${(/** @type {Event} */ event) => event.preventDefault()} @change=${({ target }) => route.set({ [target.name]: target.value })}>
          <label>Action <select name="action">${[...new Set([...ACTIONS, now.action])].map((one) => html`<option ?selected=${one === now.action}>${one}</option>`)}</select></label>
          ${Object.entries(FIELDS).map(([key, label]) => html`<label>${label} <input type="search" name=${key} .value=${now[key] ?? ''} /></label>`)}
        </form>
        ${isWhole()
          ? shown(asked, answer)
          : html`<p class="note">Name a client (and its certificate, if it is not connected) and a topic or filter: the answer is what decides.</p>`}`;
    },
  };
}

/** @param {string} title @param {any[]} all @param {(one: any) => unknown} view */
const part = (title, all, view) => (all.length ? html`<h3>${title}</h3>${all.map(view)}` : '');
/** @param {string} policy */
const link = (policy) => html`<a href=${path('/console/identity/policies', policy)}>${name(policy)}</a> `;
/** Where a statement stands, and what it says. @param {any} found */
const statement = ({ policy, statement, sid, text, why }) =>
  html`<p>${link(policy)} Statement[${statement}] ${sid}${why && html`: ${name(why, 300)}`}</p>${json(text)}`;

/** @param {any} one */
const answer = (one) => html`<p class="note ${one.allowed ? '' : 'bad'}" role="status"><strong>${one.allowed ? 'Allowed' : 'Denied'}</strong>${one.reason && `: ${one.reason}`}${one.policies.length ? html`. Policies: ${one.policies.map(link)}` : ''}</p>
  ${one.checks.map(
    (/** @type {any} */ check) => html`<section class="panel">
      <h2>${check.verdict.replace('_', ' ')}</h2>
      <p><strong>${check.action} ${name(check.resource, 80)}</strong></p>
      ${check.decided_by && statement(check.decided_by)}
      ${check.would_be_allowed_by && html`<h3>The smallest statement that would allow it</h3>${json(check.would_be_allowed_by)}`}
      ${part('Variables', Object.keys(check.variables), (key) => html`<dl class="pairs">${pair(key, name(check.variables[key] ?? 'no value', 80))}</dl>`)}
      ${part('Near misses', check.near_misses, statement)}
    </section>`,
  )}`;
