// @ts-check
// All shared groups.

import { html } from '../vendor/lit-html/lit-html.js';
import { repeat } from '../vendor/lit-html/directives/repeat.js';
import { path, query, Resource } from '../api.js';
import { on, state } from '../store.js';
import { copyable, commands } from '../parts/commands.js';
import { list } from '../parts/list.js';
import { mini } from '../parts/ring.js';
import { group, name, number, rate } from '../parts/text.js';

const LIMIT = 50;

/** @param {() => void} changed @param {any} route */
export function open(changed, route) {
  /** @type {Map<string, { number: number, at: number, rate: number }>} */
  const rates = new Map();
  const all = new Resource(
    () => `/v1/groups${query({ limit: LIMIT, members: 24, q: route.query.get('q'), after: route.query.get('after') })}`,
    () => {
      measure();
      changed();
    },
  );
  /** How fast each group hands out, by the numbers of its messages. */
  function measure() {
    for (const one of all.value?.groups ?? []) {
      const key = `${one.share}/${one.filter}`;
      const known = rates.get(key);
      const seconds = known ? (all.at - known.at) / 1000 : 0;
      if (known && seconds < 0.8) continue;
      const speed = known && one.number >= known.number ? (one.number - known.number) / seconds : 0;
      rates.set(key, { number: one.number, at: all.at, rate: speed });
    }
    if (rates.size > 10 * LIMIT) rates.clear();
  }
  all.refresh();
  const off = on((topic) => {
    if (topic === 'groups' || topic === 'restarted') all.soon(500);
    // Rates fall to nought when nothing changes any more.
    if (topic === 'stats') all.soon(2000);
  });

  return {
    title: 'Groups',
    close() {
      off();
      all.close();
    },
    update() {
      all.refresh();
    },
    view: () =>
      list(route, all, {
        title: 'Groups',
        one: 'group',
        limit: LIMIT,
        label: 'Filter: part of the share name or the filter',
        placeholder: 'share name or filter',
        rows: (value) => value.groups,
        key: (last) => `$share/${last.share}/${last.filter}`,
        table: (found) => table(found, rates),
        empty: () => empty(route.query.get('q') ?? ''),
      }),
  };
}

/** @param {any[]} found @param {Map<string, { rate: number }>} rates */
const table = (found, rates) => html`<div class="scroll"><table class="list">
  <thead>
    <tr><th scope="col"><span class="hidden">Ring</span></th><th scope="col">Group</th><th scope="col" class="n">Members</th><th scope="col">Next</th><th scope="col" class="n">Messages</th><th scope="col" class="n">Rate</th><th scope="col" class="n">Queued</th><th scope="col" class="n">Dropped</th></tr>
  </thead>
  <tbody>
    ${repeat(
      found,
      (/** @type {any} */ one) => `${one.share}/${one.filter}`,
      (/** @type {any} */ one) => html`<tr>
        <td class="tight">${mini(one.members, one.cursor, one.members_total)}</td>
        <th scope="row"><a href=${path('/console/groups', one.share, one.filter)} data-row>${group(one.share, one.filter, 28)}</a></th>
        <td class="n ${one.members_connected < one.members_total ? 'warn' : ''}">${one.members_connected === one.members_total ? number(one.members_total) : `${number(one.members_connected)} of ${number(one.members_total)}`}</td>
        <td>${one.members[one.cursor] ? name(one.members[one.cursor].client_id, 20) : `member ${number(one.cursor + 1)}`}</td>
        <td class="n">${number(one.number)}</td>
        <td class="n">${rate(rates.get(`${one.share}/${one.filter}`)?.rate ?? 0)}/s</td>
        <td class="n ${one.queued ? 'warn' : ''}">${number(one.queued)}</td>
        <td class="n ${one.dropped ? 'bad' : ''}">${number(one.dropped)}</td>
      </tr>`,
    )}
  </tbody>
</table></div>`;

/** @param {string} q */
function empty(q) {
  if (q) return html`<p class="note">No group has <bdi>${q}</bdi> in its share name or filter.</p>`;
  const steps = state.info ? (commands(state.info)[0]?.[1] ?? []) : [];
  return html`<div class="note">
    <p>Nobody subscribes to a shared filter. A group is there once somebody subscribes to <code>$share/NAME/FILTER</code>:</p>
    ${steps.flatMap(([, text]) => text.split(/\n(?=mosquitto_sub)/)).map(copyable)}
  </div>`;
}
