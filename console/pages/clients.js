// @ts-check
// All clients: searched and cut into pages by the broker.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { path, query } from '../api.js';
import { choice, count, list, samples, table, watch } from '../parts/list.js';
import { name, time } from '../parts/text.js';

const LIMIT = 100;
const STATES = [['', 'All'], ['online', 'Online'], ['away', 'Away'], ['tls', 'TLS']];

/** `listener:mqtts car` as parameters of the API. @param {string} text */
function words(text) {
  const found = {};
  const rest = text.replace(/(^|\s)(cn|listener|filter):("[^"]*"|\S*)/g, (_, before, key, value) => {
    found[key] = value.replaceAll('"', '');
    return before;
  });
  return { ...found, q: rest.trim() };
}

export const version = (level) => ({ 3: '3.1', 4: '3.1.1', 5: '5' })[level] ?? level;

const since = ({ connected, connected_for_s: seconds, last_end: end }) =>
  connected ? time(seconds ?? 0) : end ? `${end.cause.replaceAll('_', ' ')}, ${time(end.ago_s)} ago` : '';

export function open(changed, route) {
  const asked = (key) => route.query.get(key) ?? '';
  const { asked: all, ...page } = watch(
    () => {
      const state = asked('state');
      const by = state === 'tls' ? { tls: 'true' } : { connected: state && String(state === 'online') };
      return `/v1/clients${query({ limit: LIMIT, ...by, ...words(asked('q')), after: asked('after') })}`;
    },
    changed,
    { clients: 1000, stats: 2000 },
  );

  const draw = (rows) =>
    table(rows, (one) => one.client_id, [
      ['Client identifier', ({ client_id: id }) => html`<a href=${path('/console/clients', id)} data-row>${name(id, 32)}</a>`, 'row'],
      ['State', ({ connected }) => html`<span class="state ${connected ? 'online' : 'away'}">${connected ? 'online' : 'away'}</span>`],
      ['Since', since],
      ['Listener', ({ listener, tls }) => html`${listener ?? '–'}${tls ? html` <abbr title=${tls.version}>TLS</abbr>` : nothing}`],
      ['MQTT', (one) => version(one.protocol)],
      count('Subscr.', 'subscriptions_total'),
      count('In flight', 'in_flight'),
      count('Queued', 'queued', 'warn'),
      count('In', 'messages_received'),
      count('Out', 'messages_sent'),
      count('Dropped', 'messages_dropped', 'bad'),
    ]);
  const empty = () => {
    const those = { online: ' is online', away: ' is away', tls: ' is connected over TLS' }[asked('state')] ?? '';
    const q = asked('q');
    return html`<div class="note">${q
      ? html`No client${those} that <bdi>${q}</bdi> finds: part of its identifier, <code>cn:</code> part of a Common Name, <code>listener:mqtts</code>, or <code>filter:cars/</code>, the beginning of a subscription.`
      : those ? `No client${those}.` : html`No client is connected, and no session waits for one. This connects the first: ${samples(0, -2)}`}</div>`;
  };

  return {
    title: 'Clients',
    ...page,
    view: () =>
      list(route, all, {
        title: 'Clients',
        one: 'client',
        limit: LIMIT,
        label: 'Filter: part of the client identifier, cn:NAME, listener:NAME, filter:BEGINNING',
        placeholder: 'identifier cn: listener: filter:',
        choice: choice(route, 'state', 'State', STATES),
        key: (last) => last.client_id,
        table: draw,
        empty,
      }),
  };
}
