// The overview: rates, what needs attention, groups at a glance, listeners. Of a broker that nobody has
// connected to, the page is how to begin.

import { html, nothing, svg } from '../vendor/lit-html/lit-html.js';
import { path } from '../api.js';
import { SAMPLES, state } from '../store.js';
import { copyable, pairs, panel, watch } from '../parts/list.js';
import { mini } from '../parts/ring.js';
import { bytes, group, number, plural, rate } from '../parts/text.js';

export function open(changed) {
  const { asked, close } = watch(() => '/v1/groups?limit=12&members=24', changed, { groups: 500 });
  const choose = (language) => {
    localStorage.setItem('language', language);
    changed();
  };
  return {
    title: 'Overview',
    close,
    view() {
      const { stats, info, start } = state;
      if (!stats || !info) return nothing;
      if (stats.connections_opened === 0 && stats.sessions === 0)
        return html`<h1>The broker is running. Nobody has connected yet.</h1>
          <p>These lines work against this very broker. Once the first client is here, this page shows what the broker does.</p>
          ${lines(start, choose)} ${listeners(info)}`;
      return html`<h1 class="hidden">Overview</h1>
        ${tiles()}
        <div class="columns">
          <div>${attention(asked.value?.groups ?? [])} ${circles(asked.value)}</div>
          <div>${listeners(info)} ${kept(stats)}</div>
        </div>
        <details class="panel"><summary>Connect a client</summary>${lines(start, choose)}</details>`;
    },
  };
}

/** What to copy, in the language that was chosen last. */
function lines({ languages: all }, choose) {
  if (!all.length) return html`<p class="note">No listener takes clients that are not browsers.</p>`;
  const chosen = all.find(({ name }) => name === localStorage.getItem('language')) ?? all[0];
  return html`<div class="tabs" role="group" aria-label="Language">
      ${all.map(({ name }) => html`<button aria-pressed=${name === chosen.name} @click=${() => choose(name)}>${name}</button>`)}
    </div>
    <ol class="steps">${chosen.steps.map(({ title, texts }) => html`<li><h3>${title}</h3>${texts.map(copyable)}</li>`)}</ol>`;
}

function tiles() {
  const { samples, stats } = state;
  const last = samples.at(-1) ?? {};
  const tile = (key, title, now, small) => html`<div class="tile ${key} ${key === 'dropped' && last.dropped ? 'bad' : ''}"><dt>${title}</dt>
    <dd>${now} ${spark(samples.map((sample) => sample[key]))}<small>${small}</small></dd></div>`;
  const often = (key, title, small) => tile(key, title, html`<strong>${rate(last[key] ?? 0)}</strong>/s`, small);
  const many = (key, title, count, small) => tile(key, title, html`<strong>${number(count)}</strong>`, small);
  return html`<dl class="tiles">
    ${often('in', 'Messages in', `${number(stats.messages_received)} in all`)}
    ${often('out', 'Messages out', `${number(stats.messages_sent)} in all`)}
    ${many('clients', 'Clients', stats.clients_connected, `${plural(stats.sessions, 'session')}, ${plural(stats.subscriptions, 'subscription')}`)}
    ${many('in_flight', 'In flight', stats.in_flight, 'not yet acknowledged')}
    ${many('queued', 'Queued', stats.queued + stats.group_queued, `${number(stats.group_queued)} of them in groups`)}
    ${often('dropped', 'Dropped', `${number(stats.messages_dropped)} in all, ${number(stats.messages_expired)} expired`)}
  </dl>`;
}

/** A line of the last minute, from nought to its highest value. */
function spark(values) {
  const most = Math.max(1, ...values);
  const x = (at) => (120 * (SAMPLES - values.length + at)) / (SAMPLES - 1);
  const line = values.map((value, at) => `${x(at).toFixed(1)},${(30 - (value / most) * 27).toFixed(1)}`).join(' ');
  return html`<svg class="spark" viewBox="0 0 120 32" preserveAspectRatio="none" aria-hidden="true">
    ${svg`<polygon points="${x(0)},32 ${line} 120,32" /><polyline points=${line || '0,30 120,30'} />`}</svg>`;
}

const linkTo = (one) => path('/console/groups', one.share, one.filter);

/** What needs somebody: each with a way to it. */
function attention(groups) {
  const { connections_refused: refused, messages_dropped: dropped, sessions, clients_connected, faults } = state.stats;
  const away = sessions - clients_connected;
  const item = (count, kind, href, what, more) => count > 0 && html`<li class=${kind}>${href ? html`<a href=${href} data-row>${what}</a>` : what} ${more}</li>`;
  const all = groups.flatMap((one) => {
    const what = group(one.share, one.filter, 28);
    const why = one.members_connected ? 'nobody has room' : 'no member is connected';
    return [
      item(one.queued, 'warn', linkTo(one), what, `${plural(one.queued, 'message waits', 'messages wait')}: ${why}`),
      item(one.dropped, 'bad', linkTo(one), what, `has dropped ${plural(one.dropped, 'message')}`),
    ];
  });
  all.push(
    item(faults.rules, 'warn', '/console/faults', plural(faults.rules, 'packet rule'), 'armed: faults are made on purpose'),
    item(refused, 'warn', '', plural(refused, 'connection'), 'refused, or ended before CONNECT; the log says why'),
    item(dropped, 'bad', '', plural(dropped, 'message'), 'dropped for want of room or receiver'),
    item(away, '', '/console/clients?state=away', plural(away, 'session'), 'without a connection'),
  );
  return panel('Attention', all.some(Boolean) ? html`<ul class="attention">${all.map((one) => one || nothing)}</ul>` : html`<p class="count">Nothing needs you.</p>`);
}

function circles(value) {
  if (!value?.total) return nothing;
  const more = value.total - value.groups.length;
  return panel(html`<a href="/console/groups">Groups</a>`, html`<ul class="rings">
      ${value.groups.map((one) => html`<li><a href=${linkTo(one)} data-row>
        ${mini(one.members, one.cursor, one.members_total)}
        <span>${group(one.share, one.filter, 22)}<small>${number(one.members_connected)} of ${plural(one.members_total, 'member')} · #${number(one.number)}</small></span>
      </a></li>`)}
    </ul>
    ${more > 0 ? html`<p><a href="/console/groups">${plural(more, 'further group')}</a></p>` : nothing}`);
}

const listeners = ({ listeners: { bad_tls = {}, ...all }, ca_file, client_cert }) => panel(
  'Listeners',
  pairs([
    ...Object.entries(all).map(([name, address]) => [name, [address ?? []].flat().join(', ')]),
    ...Object.entries(bad_tls).map(([fault, address]) => [`mqtts, ${fault}`, address]),
  ]),
  ca_file ? html`<p class="small">Clients trust <code>${ca_file}</code>; certificates of their own: ${client_cert}.</p>` : nothing,
);

/** What the broker holds. */
const kept = (stats) => panel('Held', pairs([
  ['Memory', bytes(stats.memory_bytes)],
  ...Object.entries(stats.memory_bytes_by_kind).map(([kind, value]) => [kind, value ? bytes(value) : '']),
  ['retained messages', number(stats.retained)],
  ['bytes in, out', `${bytes(stats.bytes_received)}, ${bytes(stats.bytes_sent)}`],
]));
