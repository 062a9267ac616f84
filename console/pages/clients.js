// @ts-check
// All clients: searched and cut into pages by the broker.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { repeat } from '../vendor/lit-html/directives/repeat.js';
import { path, query, Resource } from '../api.js';
import { on, state } from '../store.js';
import { commands, copyable } from '../parts/commands.js';
import { choice, list } from '../parts/list.js';
import { name, number, time } from '../parts/text.js';

const LIMIT = 100;
const STATES = /** @type {[string, string][]} */ ([
  ['', 'All'],
  ['online', 'Online'],
  ['away', 'Away'],
  ['tls', 'TLS'],
]);

/** `listener:mqtts car` as parameters of the API. @param {string} text */
function words(text) {
  /** @type {Record<string, string>} */
  const found = {};
  const rest = text.replace(/(^|\s)(cn|listener|filter):("[^"]*"|\S*)/g, (_, before, key, value) => {
    found[key] = value.replaceAll('"', '');
    return before;
  });
  return { ...found, q: rest.trim() };
}

/** @param {() => void} changed @param {any} route */
export function open(changed, route) {
  const all = new Resource(() => {
    const { query: asked } = route;
    const state = asked.get('state');
    const by = state === 'tls' ? { tls: 'true' } : { connected: state && String(state === 'online') };
    return `/v1/clients${query({ limit: LIMIT, ...by, ...words(asked.get('q') ?? ''), after: asked.get('after') })}`;
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
    view: () =>
      list(route, all, {
        title: 'Clients',
        one: 'client',
        limit: LIMIT,
        label: 'Filter: part of the client identifier, cn:NAME, listener:NAME, filter:BEGINNING',
        placeholder: 'identifier cn: listener: filter:',
        choice: choice(route, 'state', 'State', STATES),
        rows: (value) => value.clients,
        key: (last) => last.client_id,
        table,
        empty: () => empty(route.query.get('q') ?? '', route.query.get('state') ?? ''),
      }),
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
  const those = { online: ' is online', away: ' is away', tls: ' is connected over TLS' }[chosen] ?? '';
  if (q || chosen)
    return html`<p class="note">No client${those}${q ? html` that <bdi>${q}</bdi> finds: part of its identifier, <code>cn:</code> part of a Common Name, <code>listener:mqtts</code>, or <code>filter:cars/</code>, the beginning of a subscription` : ''}.</p>`;
  const steps = state.info ? (commands(state.info)[0]?.[1] ?? []) : [];
  return html`<div class="note">
    <p>No client is connected, and no session waits for one. This connects the first:</p>
    ${steps.slice(0, -1).flatMap(([, text]) => text.split('\n').slice(0, 1)).map(copyable)}
  </div>`;
}
