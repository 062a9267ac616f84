// @ts-check
// All clients: searched and cut into pages by the broker.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { repeat } from '../vendor/lit-html/directives/repeat.js';
import { path, query, Resource } from '../api.js';
import { on, state } from '../store.js';
import { commands, copyable } from '../parts/commands.js';
import { failure, name, number, plural, time } from '../parts/text.js';

const LIMIT = 100;
const STATES = /** @type {[string, string, string | null][]} */ ([
  ['', 'All', null],
  ['online', 'Online', 'true'],
  ['away', 'Away', 'false'],
]);

/** @param {() => void} changed @param {any} route */
export function open(changed, route) {
  const chosen = () => route.query.get('state') ?? '';
  const all = new Resource(() => {
    const connected = STATES.find(([key]) => key === chosen())?.[2];
    const { query: asked } = route;
    return `/v1/clients${query({ limit: LIMIT, connected, q: asked.get('q'), after: asked.get('after') })}`;
  }, changed);
  all.refresh();
  const off = on((topic) => {
    // Whoever has very many clients is shown them less often.
    const many = (state.stats?.sessions ?? 0) > 2000;
    if (topic === 'clients' || topic === 'restarted') all.soon(many ? 5000 : 500);
    if (topic === 'stats') all.soon(many ? 10000 : 2000);
  });

  return {
    title: 'Clients',
    close() {
      off();
      all.close();
    },
    update() {
      all.refresh();
    },
    view() {
      const q = route.query.get('q') ?? '';
      const found = all.value?.clients ?? [];
      return html`<div class="head">
          <h1>Clients</h1>
          <p class="count">${all.value ? plural(all.value.total, 'client') : ''}</p>
          <div class="tabs" role="group" aria-label="State">
            ${STATES.map(
              ([key, title]) => html`<button aria-pressed=${chosen() === key} @click=${() => route.set({ state: key, after: '' })}>${title}</button>`,
            )}
          </div>
          <input
            type="search"
            aria-label="Filter: part of the client identifier"
            placeholder="client identifier"
            .value=${q}
            @input=${(/** @type {any} */ event) => route.set({ q: event.target.value, after: '' })}
          />
        </div>
        ${all.error ? failure(all.error) : nothing} ${all.loading ? html`<p class="note">Loading …</p>` : nothing}
        ${all.value && !found.length ? empty(q, chosen()) : nothing} ${found.length ? table(found) : nothing}
        ${pager(route, all.value?.total ?? 0, found)}`;
    },
  };
}

/** @param {any[]} found */
const table = (found) => html`<div class="scroll"><table class="list">
  <thead>
    <tr><th scope="col">Client identifier</th><th scope="col">State</th><th scope="col">Since</th><th scope="col">Listener</th><th scope="col">MQTT</th><th scope="col" class="n">Subscr.</th><th scope="col" class="n">In flight</th><th scope="col" class="n">Queued</th><th scope="col" class="n">In</th><th scope="col" class="n">Out</th><th scope="col" class="n">Dropped</th></tr>
  </thead>
  <tbody>
    ${repeat(
      found,
      (/** @type {any} */ one) => one.client_id,
      (/** @type {any} */ one) => html`<tr>
        <th scope="row"><a href=${path('/console/clients', one.client_id)} data-row>${name(one.client_id, 32)}</a></th>
        <td><span class="state ${one.connected ? 'online' : 'away'}">${one.connected ? 'online' : 'away'}</span></td>
        <td>${one.connected ? time(one.connected_for_s ?? 0) : one.last_end ? `${one.last_end.cause.replaceAll('_', ' ')}, ${time(one.last_end.ago_s)} ago` : ''}</td>
        <td>${one.listener ?? '–'}${one.tls ? html` <abbr title="${one.tls.version}">TLS</abbr>` : nothing}</td>
        <td>${version(one.protocol)}</td>
        <td class="n">${number(one.subscriptions_total)}</td>
        <td class="n">${number(one.in_flight)}</td>
        <td class="n ${one.queued ? 'warn' : ''}">${number(one.queued)}</td>
        <td class="n">${number(one.messages_received)}</td>
        <td class="n">${number(one.messages_sent)}</td>
        <td class="n ${one.messages_dropped ? 'bad' : ''}">${number(one.messages_dropped)}</td>
      </tr>`,
    )}
  </tbody>
</table></div>`;

/** @param {number} level */
export const version = (level) => ({ 3: '3.1', 4: '3.1.1', 5: '5' })[level] ?? level;

/** @param {string} q @param {string} chosen */
function empty(q, chosen) {
  if (q) return html`<p class="note">No client identifier has <bdi>${q}</bdi> in it${chosen ? `, among those that are ${chosen}` : ''}.</p>`;
  if (chosen) return html`<p class="note">No client is ${chosen}.</p>`;
  const steps = state.info ? (commands(state.info)[0]?.[1] ?? []) : [];
  return html`<div class="note">
    <p>No client is connected, and no session waits for one. This connects the first:</p>
    ${steps.slice(0, -1).flatMap(([, text]) => text.split('\n').slice(0, 1)).map(copyable)}
  </div>`;
}

/** @param {any} route @param {number} total @param {any[]} found */
function pager(route, total, found) {
  const after = route.query.get('after');
  const more = found.length === LIMIT && total > LIMIT;
  if (!after && !more) return nothing;
  return html`<p class="pager">
    ${after ? html`<a href=${route.href({ after: '' })}>First page</a>` : nothing}
    ${more ? html`<a href=${route.href({ after: found.at(-1).client_id })}>Next page</a>` : nothing}
    <span>${plural(found.length, 'client')} of ${number(total)} shown</span>
  </p>`;
}
