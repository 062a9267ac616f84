// @ts-check
// One client: its connection, its session, what it subscribes to, and how to end either.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { path, query, remove, Resource } from '../api.js';
import { on, state } from '../store.js';
import { Ask } from '../parts/ask.js';
import { shown as shownOf } from '../parts/list.js';
import { bytes, failure, group, meter, moment, name, number, plain, plural, time } from '../parts/text.js';
import { version } from './clients.js';

/** Reason Codes that a server sends in DISCONNECT and that a client may be tested with. */
const REASONS = [
  ['0x98', 'Administrative action'],
  ['0x00', 'Normal disconnection'],
  ['0x80', 'Unspecified error'],
  ['0x83', 'Implementation specific error'],
  ['0x87', 'Not authorized'],
  ['0x89', 'Server busy'],
  ['0x8B', 'Server shutting down'],
  ['0x8D', 'Keep Alive timeout'],
  ['0x8E', 'Session taken over'],
  ['0x93', 'Receive Maximum exceeded'],
  ['0x95', 'Packet too large'],
  ['0x96', 'Message rate too high'],
  ['0x97', 'Quota exceeded'],
  ['0x9C', 'Use another server'],
  ['0x9D', 'Server moved'],
];

/** Subscriptions that are shown before somebody asks for all that the API has. */
const SHOWN = 100;

/** @param {() => void} changed @param {any} route */
export function open(changed, route) {
  const [id] = route.parts;
  const detail = new Resource(() => path('/v1/clients', id), changed);
  const history = new Resource(() => `${path('/v1/clients', id)}/history?limit=${SHOWN}`, changed);
  const ask = new Ask(changed);
  let all = false;
  const refresh = () => {
    detail.refresh();
    history.refresh();
  };
  refresh();
  const off = on((topic) => {
    if (topic === 'stats') detail.soon(1000);
    if (topic !== 'clients' && topic !== 'restarted') return;
    detail.soon(300);
    history.soon(1000);
  });

  const disconnect = (/** @type {Event} */ event) =>
    ask.ask(
      event,
      html`<label>End the connection of ${name(id, 32)} with
        <select name="reason">
          ${REASONS.map(([code, text]) => html`<option value=${code}>${code} ${text}</option>`)}
        </select></label>
        <span>${detail.value?.session_expiry_s === 0 ? 'Its session ends with it.' : 'Its session goes on.'}</span>`,
      'Disconnect',
      (form) => remove(path('/v1/clients', id) + query({ reason: form.reason.value })),
      refresh,
    );
  const end = (/** @type {Event} */ event) => {
    const { queued = 0, in_flight: open_ = 0, subscriptions_total: total = 0 } = detail.value ?? {};
    ask.ask(
      event,
      html`<span>End the session of ${name(id, 32)}: ${plural(total, 'subscription')} and
        ${plural(queued + open_, 'message')} that wait or are in flight are gone.</span>`,
      'End the session',
      () => remove(path('/v1/clients', id) + query({ session: 'true' })),
      refresh,
    );
  };

  return {
    title: id,
    back: '/console/clients',
    cancel: () => ask.cancel(),
    close() {
      off();
      detail.close();
      history.close();
    },
    view() {
      const one = detail.value;
      const gone = detail.error?.status === 404;
      return html`<div class="head">
          <p class="crumb"><a href="/console/clients">Clients</a></p>
          <h1>${name(id, 60)}</h1>
          ${one && !gone
            ? html`<span class="state ${one.connected ? 'online' : 'away'}">${one.connected ? 'online' : 'away'}</span>
                <span class="buttons">
                  <a href=${`/console/faults${query({ client: id })}`}>Make something fail here</a>
                  ${one.connected ? html`<button @click=${disconnect}>Disconnect …</button>` : nothing}
                  <button @click=${end}>End session …</button>
                </span>`
            : nothing}
        </div>
        ${ask.view()}
        ${gone ? html`<p class="note">There is no session of this client${one ? ' any more; below is how it was' : ''}.</p>` : detail.error ? failure(detail.error) : nothing}
        ${detail.loading ? html`<p class="note">Loading …</p>` : nothing}
        ${one
          ? html`<div class=${gone ? 'columns past' : 'columns'}>
              <div>${connection(one)} ${session(one)} ${will(one.will)}</div>
              <div>
                ${subscriptions(one, all, () => {
                  all = true;
                  changed();
                })}
                ${shownOf(history, events)}
              </div>
            </div>`
          : shownOf(history, events)}`;
    },
  };
}

/** What happened lately. @param {any} value */
const events = ({ events: found, total }) =>
  total
    ? html`<section class="panel">
        <h2>History</h2>
        <ol class="steps-log wrap" tabindex="0" aria-label="What happened, the last first">
          ${found.map((/** @type {any} */ one) => html`<li title=${plain(one.text)}><time title=${new Date(one.at_ms).toISOString()}>${moment(one.at_ms)}</time> ${plain(one.text)}</li>`)}
        </ol>
        ${total > found.length ? html`<p class="small">The last ${number(found.length)} of ${number(total)}.</p>` : nothing}
      </section>`
    : nothing;

/** A line of facts; one without a value is none. @param {string} title @param {any} value */
export const pair = (title, value) =>
  value === null || value === undefined || value === ''
    ? nothing
    : html`<div><dt>${title}</dt><dd>${value}</dd></div>`;

/** @param {any} one */
function connection(one) {
  const { tls, last_end: end } = one;
  return html`<section class="panel">
    <h2>Connection</h2>
    <dl class="pairs">
      ${one.connected
        ? html`${pair('connected for', time(one.connected_for_s ?? 0))} ${pair('listener', one.listener)} ${pair('from', one.peer)}`
        : nothing}
      ${pair('protocol', `MQTT ${version(one.protocol)}`)}
      ${pair('Keep Alive', one.keep_alive_s ? `${number(one.keep_alive_s)} s` : 'off')}
      ${pair('principal', one.principal === null ? null : name(one.principal, 40))}
      ${one.connected
        ? html`${pair('received', `${plural(one.packets_received, 'packet')}, ${bytes(one.bytes_received)}, ${plural(one.messages_received, 'message')}`)}`
        : nothing}
      ${end
        ? pair(
            'last end',
            html`${end.cause.replaceAll('_', ' ')} by ${end.by}${end.code === null ? '' : `, 0x${end.code.toString(16).padStart(2, '0').toUpperCase()}`},
              ${time(end.ago_s)} ago${end.reason ? html`<br /><small>${name(end.reason, 120)}</small>` : nothing}`,
          )
        : nothing}
    </dl>
    ${tls
      ? html`<h3>TLS</h3>
          <dl class="pairs">
            ${pair('version', tls.version)} ${pair('cipher', tls.cipher)} ${pair('server name', tls.sni === null ? null : name(tls.sni))}
            ${pair('ALPN', tls.alpn === null ? null : name(tls.alpn))} ${pair('common name', tls.common_name === null ? null : name(tls.common_name))}
            ${pair('certificate', tls.certificate_id === null ? null : html`<code>${state.info?.has_registry ? html`<a href=${path('/console/identity/certificates', tls.certificate_id)}>${name(tls.certificate_id, 40)}</a>` : name(tls.certificate_id, 40)}</code>`)}
          </dl>`
      : nothing}
  </section>`;
}

/** @param {any} one */
function session(one) {
  const expiry = one.session_expiry_s;
  return html`<section class="panel">
    <h2>Session</h2>
    <dl class="pairs">
      ${pair('expires', expiry === null ? 'never' : expiry === 0 ? 'with the connection' : `${time(expiry)} after the connection`)}
      ${pair(
        'window',
        one.window === null
          ? `${number(one.in_flight)} in flight`
          : html`${meter(one.in_flight, one.window)} ${number(one.in_flight)} of ${number(one.window)} in flight`,
      )}
      ${pair('queued', number(one.queued))} ${pair('sent', plural(one.messages_sent, 'message'))}
      ${pair('dropped', plural(one.messages_dropped, 'message'))}
    </dl>
  </section>`;
}

/** @param {any} will */
const will = (will) =>
  will
    ? html`<section class="panel">
        <h2>Will</h2>
        <dl class="pairs">
          ${pair('topic', name(will.topic, 60))} ${pair('QoS', will.qos)} ${pair('retained', will.retain ? 'yes' : 'no')}
          ${pair('delay', time(will.delay_s))} ${pair('payload', bytes(will.payload_size))}
        </dl>
      </section>`
    : nothing;

/** @param {any} one @param {boolean} all @param {() => void} showAll */
function subscriptions(one, all, showAll) {
  const list = all ? one.subscriptions : one.subscriptions.slice(0, SHOWN);
  return html`<section class="panel">
    <h2>${plural(one.subscriptions_total, 'subscription')}</h2>
    ${list.length
      ? html`<table class="list">
          <thead><tr><th scope="col">Filter</th><th scope="col" class="n">QoS</th></tr></thead>
          <tbody>
            ${list.map((/** @type {string} */ filter) => html`<tr><td>${shown(filter)}</td><td class="n">${one.granted_qos[filter] ?? ''}</td></tr>`)}
          </tbody>
        </table>`
      : html`<p class="calm">It subscribes to nothing.</p>`}
    ${list.length < one.subscriptions.length ? html`<p><button @click=${showAll}>Show ${number(one.subscriptions.length)}</button></p>` : nothing}
    ${all && one.subscriptions.length < one.subscriptions_total
      ? html`<p class="small">The API shows the first ${number(one.subscriptions.length)} of them.</p>`
      : nothing}
  </section>`;
}

/** A filter, with a way to its group if it is shared. @param {string} full */
function shown(full) {
  const parts = full.match(/^\$share\/([^/]+)\/(.*)$/su);
  if (!parts) return name(full, 60);
  const [, share, filter] = parts;
  return html`<a href=${path('/console/groups', share, filter)} data-row>${group(share, filter, 44)}</a>`;
}
