// @ts-check
// The overview: rates, what needs attention, groups at a glance, listeners. Of a broker that nobody has
// connected to, the page is how to begin.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { path, Resource } from '../api.js';
import { on, SAMPLES, state } from '../store.js';
import { commands, copyable } from '../parts/commands.js';
import { mini } from '../parts/ring.js';
import { spark } from '../parts/spark.js';
import { bytes, group, number, plural, rate } from '../parts/text.js';

const LISTENERS = {
  mqtt: 'MQTT',
  mqtts: 'MQTT over TLS',
  'mqtt-password': 'MQTT, for users with passwords',
  ws: 'MQTT over WebSocket',
  'ws-password': 'MQTT over WebSocket, for users with passwords',
  wss: 'MQTT over WebSocket, TLS',
  alpn: 'everything of the service, by ALPN',
  https: 'HTTPS for devices',
  http: 'control API and console',
};

/** @param {() => void} changed */
export function open(changed) {
  const groups = new Resource(() => '/v1/groups?limit=12&members=24', changed);
  let language = localStorage.getItem('language') ?? 'mosquitto';
  groups.refresh();
  const off = on((topic) => {
    if (topic === 'groups' || topic === 'restarted') groups.soon(500);
    changed();
  });

  const choose = (/** @type {string} */ name) => {
    language = name;
    localStorage.setItem('language', name);
    changed();
  };

  return {
    title: 'Overview',
    close() {
      off();
      groups.close();
    },
    view() {
      const { stats, info } = state;
      if (!stats || !info) return nothing;
      return stats.connections_opened === 0 && stats.sessions === 0
        ? start(info, language, choose)
        : html`<h1 class="hidden">Overview</h1>
            ${tiles()}
            <div class="columns">
              <div>${attention(groups.value?.groups ?? [])} ${circle(groups.value)}</div>
              <div>${listeners(info)} ${kept(stats)}</div>
            </div>
            <details class="panel">
              <summary>Connect a client</summary>
              ${lines(info, language, choose)}
            </details>`;
    },
  };
}

/** @param {any} info @param {string} language @param {(name: string) => void} choose */
const start = (info, language, choose) => html`
  <section class="start">
    <h1>The broker is running. Nobody has connected yet.</h1>
    <p>
      These lines work against this very broker. Once the first client is here, this page shows what the broker does;
      <a href="/console/groups">Groups</a> shows whose turn it is.
    </p>
    ${lines(info, language, choose)} ${listeners(info)}
  </section>
`;

/** @param {any} info @param {string} language @param {(name: string) => void} choose */
function lines(info, language, choose) {
  const all = commands(info);
  if (!all.length) return html`<p class="note">No listener takes clients that are not browsers.</p>`;
  const [name, steps] = all.find(([known]) => known === language) ?? all[0];
  return html`<div class="tabs" role="group" aria-label="Language">
      ${all.map(
        ([known]) => html`<button aria-pressed=${known === name} @click=${() => choose(known)}>${known}</button>`,
      )}
    </div>
    <ol class="steps">
      ${steps.map(([title, text]) => html`<li><h3>${title}</h3>${text.split(/\n(?=mosquitto_sub|aws )/).map(copyable)}</li>`)}
    </ol>`;
}

const TILES = /** @type {[string, string, string][]} */ ([
  ['in', 'Messages in', '/s'],
  ['out', 'Messages out', '/s'],
  ['clients', 'Clients', ''],
  ['in_flight', 'In flight', ''],
  ['queued', 'Queued', ''],
  ['dropped', 'Dropped', '/s'],
]);

function tiles() {
  const { samples, stats } = state;
  const last = samples.at(-1) ?? {};
  /** @type {Record<string, string>} */
  const totals = {
    in: `${number(stats.messages_received)} in all`,
    out: `${number(stats.messages_sent)} in all`,
    clients: `${plural(stats.sessions, 'session')}, ${plural(stats.subscriptions, 'subscription')}`,
    in_flight: 'not yet acknowledged',
    queued: `${number(stats.group_queued)} of them in groups`,
    dropped: `${number(stats.messages_dropped)} in all, ${number(stats.messages_expired)} expired`,
  };
  /** @type {Record<string, number>} */
  const now = {
    clients: stats.clients_connected,
    in_flight: stats.in_flight,
    queued: stats.queued + stats.group_queued,
  };
  return html`<dl class="tiles">
    ${TILES.map(([key, title, unit]) => {
      const value = now[key] ?? last[key] ?? 0;
      return html`<div class="tile ${key} ${key === 'dropped' && value > 0 ? 'bad' : ''}">
        <dt>${title}</dt>
        <dd>
          <span class="value">${unit ? rate(value) : number(value)}</span><span class="unit">${unit}</span>
          ${spark(samples.map((sample) => sample[key]), SAMPLES)}
          <small>${totals[key]}</small>
        </dd>
      </div>`;
    })}
  </dl>`;
}

/** What needs somebody: each with a way to it. @param {any[]} groups */
function attention(groups) {
  const { stats } = state;
  const { rules } = stats.faults;
  const all = [];
  for (const one of groups) {
    const href = path('/console/groups', one.share, one.filter);
    if (one.queued > 0) {
      const why = one.members_connected === 0 ? 'no member is connected' : 'nobody has room';
      all.push(html`<li class="warn"><a href=${href} data-row>${group(one.share, one.filter, 28)}</a>
        ${plural(one.queued, 'message waits', 'messages wait')}: ${why}</li>`);
    }
    if (one.dropped > 0)
      all.push(html`<li class="bad"><a href=${href} data-row>${group(one.share, one.filter, 28)}</a>
        has dropped ${plural(one.dropped, 'message')}</li>`);
  }
  if (rules) all.push(html`<li class="warn"><a href="/console/faults" data-row>${plural(rules, 'packet rule')}</a> armed: faults are made on purpose</li>`);
  if (stats.connections_refused > 0)
    all.push(html`<li class="warn">${plural(stats.connections_refused, 'connection')} refused, or ended before CONNECT; the log says why</li>`);
  if (stats.messages_dropped > 0)
    all.push(html`<li class="bad">${plural(stats.messages_dropped, 'message')} dropped for want of room or receiver</li>`);
  const away = stats.sessions - stats.clients_connected;
  if (away > 0)
    all.push(html`<li><a href="/console/clients?state=away" data-row>${plural(away, 'session')}</a> without a connection</li>`);
  return html`<section class="panel">
    <h2>Attention</h2>
    ${all.length ? html`<ul class="attention">${all}</ul>` : html`<p class="calm">Nothing needs you.</p>`}
  </section>`;
}

/** @param {any} value */
function circle(value) {
  if (!value?.groups.length) return nothing;
  const more = value.total - value.groups.length;
  return html`<section class="panel">
    <h2><a href="/console/groups">Groups</a></h2>
    <ul class="rings">
      ${value.groups.map(
        (/** @type {any} */ one) => html`<li><a href=${path('/console/groups', one.share, one.filter)} data-row>
          ${mini(one.members, one.cursor, one.members_total)}
          <span class="what">${group(one.share, one.filter, 22)}<small>${one.members_connected < one.members_total ? `${number(one.members_connected)} of ` : ''}${plural(one.members_total, 'member')} · #${number(one.number)}</small></span>
        </a></li>`,
      )}
    </ul>
    ${more > 0 ? html`<p><a href="/console/groups">${plural(more, 'further group')}</a></p>` : nothing}
  </section>`;
}

/** @param {any} info */
function listeners(info) {
  const all = Object.entries(LISTENERS).filter(([name]) => info.listeners[name]);
  const bad = Object.entries(info.listeners.bad_tls ?? {});
  return html`<section class="panel">
    <h2>Listeners</h2>
    <table class="facts">
      <tbody>
        ${all.map(([name, what]) => html`<tr><th scope="row">${name}</th><td><code>${info.listeners[name]}</code></td><td>${what}</td></tr>`)}
        ${bad.map(([name, addr]) => html`<tr><th scope="row">mqtts</th><td><code>${addr}</code></td><td>with a fault: ${name}</td></tr>`)}
        ${info.listeners.unix_socket
          ? html`<tr><th scope="row">unix</th><td colspan="2"><code>${info.listeners.unix_socket}</code></td></tr>`
          : nothing}
      </tbody>
    </table>
    ${info.ca_file ? html`<p class="small">Clients trust <code>${info.ca_file}</code>; certificates of their own: ${info.client_cert}.</p>` : nothing}
  </section>`;
}

/** What the broker holds. @param {any} stats */
function kept(stats) {
  const kinds = Object.entries(stats.memory_bytes_by_kind).filter(([, value]) => /** @type {number} */ (value) > 0);
  return html`<section class="panel">
    <h2>Held</h2>
    <dl class="pairs">
      <div><dt>Memory</dt><dd>${bytes(stats.memory_bytes)}</dd></div>
      ${kinds.map(([kind, value]) => html`<div><dt>${kind}</dt><dd>${bytes(/** @type {number} */ (value))}</dd></div>`)}
      <div><dt>retained messages</dt><dd>${number(stats.retained)}</dd></div>
      <div><dt>bytes in, out</dt><dd>${bytes(stats.bytes_received)}, ${bytes(stats.bytes_sent)}</dd></div>
    </dl>
  </section>`;
}
