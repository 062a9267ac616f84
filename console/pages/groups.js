// @ts-check
// All shared groups.

import { html } from '../vendor/lit-html/lit-html.js';
import { path, query } from '../api.js';
import { count, list, samples, table, watch } from '../parts/list.js';
import { mini } from '../parts/ring.js';
import { group, name, number, rate } from '../parts/text.js';

const LIMIT = 50;
const key = ({ share, filter }) => `$share/${share}/${filter}`;

export function open(changed, route) {
  /** How fast each group hands out, by the numbers of its messages. */
  const rates = new Map();
  const { asked, ...page } = watch(
    () => `/v1/groups${query({ limit: LIMIT, members: 24, q: route.query.get('q'), after: route.query.get('after') })}`,
    () => {
      for (const one of asked.value?.groups ?? []) {
        const known = rates.get(key(one));
        const seconds = known ? (asked.at - known.at) / 1000 : 0;
        if (known && seconds < 0.8) continue;
        rates.set(key(one), { number: one.number, at: asked.at, rate: known ? Math.max(0, one.number - known.number) / seconds : 0 });
      }
      if (rates.size > 10 * LIMIT) rates.clear();
      changed();
    },
    // Rates fall to nought when nothing changes any more.
    { groups: 500, stats: 2000 },
  );

  const draw = (rows) =>
    table(rows, key, [
      [html`<span class="hidden">Ring</span>`, (one) => mini(one.members, one.cursor, one.members_total), 'tight'],
      ['Group', ({ share, filter }) => html`<a href=${path('/console/groups', share, filter)} data-row>${group(share, filter, 28)}</a>`, 'row'],
      ['Members', ({ members_connected: here, members_total: all }) => (here < all ? `${number(here)} of ${number(all)}` : number(all)), 'n', (one) => (one.members_connected < one.members_total ? 'warn' : '')],
      ['Next', ({ members, cursor }) => (members[cursor] ? name(members[cursor].client_id, 20) : `member ${number(cursor + 1)}`)],
      count('Messages', 'number'),
      ['Rate', (one) => `${rate(rates.get(key(one))?.rate ?? 0)}/s`, 'n'],
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
        limit: LIMIT,
        label: 'Filter: part of the share name or the filter',
        placeholder: 'share name or filter',
        key,
        table: draw,
        empty,
      }),
  };
}
