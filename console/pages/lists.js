// All clients and all shared groups: searched and cut into pages by the broker.

import { html } from '../vendor/lit-html/lit-html.js';
import { path, query } from '../api.js';
import { choice, count, list, samples, table, watch } from '../parts/list.js';
import { mini } from '../parts/ring.js';
import { group, name, number, rate, time } from '../parts/text.js';

const STATES = [['', 'All'], ['online', 'Online'], ['away', 'Away'], ['tls', 'TLS']];

/** `listener:mqtts car` as parameters of the API. */
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

/** All clients. */
export function clients(changed, route) {
  const asked = (key) => route.query.get(key) ?? '';
  const { asked: all, ...page } = watch(
    () => {
      const state = asked('state');
      const by = state === 'tls' ? { tls: 'true' } : { connected: state && String(state === 'online') };
      return `/v1/clients${query({ limit: 100, ...by, ...words(asked('q')), after: asked('after') })}`;
    },
    changed,
    { clients: 1000, stats: 2000 },
  );

  const draw = (rows) =>
    table(rows, [
      ['Client identifier', ({ client_id: id }) => html`<a href=${path('/console/clients', id)} data-row>${name(id, 32)}</a>`, 'row'],
      ['State', ({ connected }) => html`<span class="state ${connected ? 'online' : 'away'}">${connected ? 'online' : 'away'}</span>`],
      ['Since', since],
      ['Listener', ({ listener, tls }) => html`${listener ?? '–'}${tls ? html` <abbr title=${tls.version}>TLS</abbr>` : ''}`],
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
    const where = /\b(cn|listener):/.test(asked('q')) ? ' among those that are connected' : '';
    const q = asked('q') && html` that <bdi>${asked('q')}</bdi> finds${where}`;
    return html`<div class="note">No client${q || those ? html`${those}${q}.` : html` is connected, and no session waits for one. This connects the first: ${samples(0, -2)}`}</div>`;
  };

  return {
    title: 'Clients',
    ...page,
    view: () =>
      list(route, all, {
        title: 'Clients',
        one: 'client',
        limit: 100,
        label: 'Filter: part of the client identifier, filter:BEGINNING; of those that are connected cn:NAME, listener:NAME',
        placeholder: 'identifier cn: listener: filter:',
        choice: choice(route, 'state', 'State', STATES),
        key: (last) => last.client_id,
        table: draw,
        empty,
      }),
  };
}

const keyOf = ({ share, filter }) => `$share/${share}/${filter}`;

/** All shared groups. */
export function groups(changed, route) {
  /** How fast each group hands out, by the numbers of its messages. */
  const rates = new Map();
  const { asked, ...page } = watch(
    () => `/v1/groups${query({ limit: 50, members: 24, q: route.query.get('q'), after: route.query.get('after') })}`,
    () => {
      for (const one of asked.value?.groups ?? []) {
        const known = rates.get(keyOf(one));
        const seconds = known ? (asked.at - known.at) / 1000 : 0;
        if (known && seconds < 0.8) continue;
        const rate = known ? Math.max(0, one.number - known.number) / seconds : 0;
        rates.set(keyOf(one), { number: one.number, at: asked.at, rate });
      }
      if (rates.size > 500) rates.clear();
      changed();
    },
    // Rates fall to nought when nothing changes any more.
    { groups: 500, stats: 2000 },
  );

  const draw = (rows) =>
    table(rows, [
      [html`<span class="hidden">Ring</span>`, (one) => mini(one.members, one.cursor, one.members_total), 'tight'],
      ['Group', ({ share, filter }) => html`<a href=${path('/console/groups', share, filter)} data-row>${group(share, filter, 28)}</a>`, 'row'],
      ['Members', ({ members_connected: here, members_total: all }) => (here < all ? `${number(here)} of ${number(all)}` : number(all)), 'n', (one) => (one.members_connected < one.members_total ? 'warn' : '')],
      ['Next', ({ members, cursor }) => (members[cursor] ? name(members[cursor].client_id, 20) : `member ${number(cursor + 1)}`)],
      count('Messages', 'number'),
      ['Rate', (one) => `${rate(rates.get(keyOf(one))?.rate ?? 0)}/s`, 'n'],
      count('Queued', 'queued', 'warn'),
      count('Dropped', 'dropped', 'bad'),
    ]);
  const empty = () => {
    const q = route.query.get('q');
    return html`<div class="note">${q ? html`No group has <bdi>${q}</bdi> in its share name or filter.` : html`Nobody subscribes to a shared filter, <code>$share/NAME/FILTER</code>. This does: ${samples()}`}</div>`;
  };

  return {
    title: 'Groups',
    ...page,
    view: () =>
      list(route, asked, {
        title: 'Groups',
        one: 'group',
        limit: 50,
        label: 'Filter: part of the share name or the filter',
        placeholder: 'share name or filter',
        key: keyOf,
        table: draw,
        empty,
      }),
  };
}
