// One client: its connection, its session, what it subscribes to, and how to end either.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { path, query, remove } from '../api.js';
import { state } from '../store.js';
import { Ask, head, pairs, panel, shown, table, watch } from '../parts/list.js';
import { bytes, group, instead, meter, name, number, plain, plural, stamp, time } from '../parts/text.js';
import { version } from './lists.js';
import { found } from './messages.js';

/** Reason Codes that a server sends in DISCONNECT and that a client may be tested with. */
const REASONS = {
  '0x98': 'Administrative action',
  '0x00': 'Normal disconnection',
  '0x87': 'Not authorized',
  '0x89': 'Server busy',
  '0x8B': 'Server shutting down',
  '0x8D': 'Keep Alive timeout',
  '0x8E': 'Session taken over',
  '0x96': 'Message rate too high',
  '0x97': 'Quota exceeded',
  '0x9C': 'Use another server',
  '0x9D': 'Server moved',
};

export function open(changed, route) {
  const [id] = route.parts;
  const url = path('/v1/clients', id);
  const ask = new Ask(changed);
  const one = watch(() => url, changed, { stats: 1000, clients: 300 });
  const log = watch(() => `${url}/history?limit=100`, changed, { clients: 1000 });
  const detail = one.asked;
  const history = log.asked;
  const refresh = () => {
    one.update();
    log.update();
  };

  const disconnect = (event) => {
    const what = html`<label>End the connection of ${name(id, 32)} with
        <select name="reason">${Object.entries(REASONS).map(([code, text]) => html`<option value=${code}>${code} ${text}</option>`)}</select></label>
      <span>${detail.value?.session_expiry_s === 0 ? 'Its session ends with it.' : 'Its session goes on.'}</span>`;
    ask.ask(event, what, 'Disconnect', (form) => remove(url + query({ reason: form.reason.value })), refresh);
  };
  const end = (event) => {
    const { queued, in_flight, subscriptions_total: total } = detail.value;
    const what = html`<span>End the session of ${name(id, 32)}: ${plural(total, 'subscription')} and
      ${plural(queued + in_flight, 'message')} that wait or are in flight are gone.</span>`;
    ask.ask(event, what, 'End the session', () => remove(`${url}?session=true`), refresh);
  };

  return {
    title: id,
    back: '/console/clients',
    cancel: () => ask.cancel(),
    close() {
      one.close();
      log.close();
    },
    view() {
      const { value: one, error } = detail;
      const isGone = error?.status === 404;
      const is = one?.connected ? 'online' : 'away';
      const more = one && !isGone && html`<span class="state ${is}">${is}</span>
        <span class="buttons">
          <a href=${found('client', id)}>Its packets</a> · <a href=${`/console/faults${query({ client: id })}`}>Make something fail here</a>
          ${one.connected ? html`<button @click=${disconnect}>Disconnect …</button>` : nothing}
          <button @click=${end}>End session …</button>
        </span>`;
      return html`${head('/console/clients', 'Clients', name(id, 60), more || nothing)} ${ask.view()}
        ${instead(detail, `There is no session of this client${one ? ' any more; below is how it was' : ''}.`)}
        <div class="columns">
          ${one ? html`<div>${connection(one)} ${session(one)} ${one.will ? will(one.will) : nothing}</div>` : nothing}
          <div>${one ? subscriptions(one) : nothing} ${shown(history, events)}</div>
        </div>`;
    },
  };
}

const events = ({ events: found, total }) =>
  total
    ? panel(
        'History',
        html`<ol class="steps-log wrap" tabindex="0" aria-label="What happened, the last first">
          ${found.map(({ at_ms: at, text }) => html`<li>${stamp(at)} ${plain(text)}</li>`)}
        </ol>`,
        total > found.length ? html`<p class="small">The last ${number(found.length)} of ${number(total)}.</p>` : nothing,
      )
    : nothing;

function connection(one) {
  const { connected, tls, last_end: last } = one;
  const named = (text) => text && name(text, 40);
  const certificate = tls?.certificate_id;
  const code = last?.code == null ? '' : `, 0x${last.code.toString(16).padStart(2, '0').toUpperCase()}`;
  return panel(
    'Connection',
    pairs({
      'connected for': connected && time(one.connected_for_s ?? 0),
      listener: connected && one.listener,
      from: connected && one.peer,
      protocol: `MQTT ${version(one.protocol)}`,
      'Keep Alive': one.keep_alive_s ? `${number(one.keep_alive_s)} s` : 'off',
      principal: named(one.principal),
      received: connected && `${plural(one.packets_received, 'packet')}, ${bytes(one.bytes_received)}, ${plural(one.messages_received, 'message')}`,
      'last end': last && html`${last.cause.replaceAll('_', ' ')} by ${last.by}${code}, ${time(last.ago_s)} ago ${last.reason ? html`<br /><small>${name(last.reason, 120)}</small>` : nothing}`,
    }),
    tls
      ? html`<h3>TLS</h3>
          ${pairs({
            version: tls.version,
            cipher: tls.cipher,
            'server name': named(tls.sni),
            ALPN: named(tls.alpn),
            'common name': named(tls.common_name),
            certificate: certificate && html`<code>${state.info?.has_registry ? html`<a href=${path('/console/identity/certificates', certificate)}>${named(certificate)}</a>` : named(certificate)}</code>`,
          })}`
      : nothing,
  );
}

function session({ session_expiry_s: expiry, window, in_flight: taken, queued, messages_sent: sent, messages_dropped: dropped }) {
  return panel(
    'Session',
    pairs({
      expires: expiry === null ? 'never' : expiry ? `${time(expiry)} after the connection` : 'with the connection',
      window: window === null ? `${number(taken)} in flight` : html`${meter(taken, window)} ${number(taken)} of ${number(window)} in flight`,
      queued: number(queued),
      sent: plural(sent, 'message'),
      dropped: plural(dropped, 'message'),
    }),
  );
}

const will = ({ topic, qos, retain, delay_s: delay, payload_size: size }) =>
  panel('Will', pairs({ topic: name(topic, 60), QoS: qos, retained: retain ? 'yes' : 'no', delay: time(delay), payload: bytes(size) }));

function subscriptions({ subscriptions: known, subscriptions_total: total, granted_qos: granted }) {
  return panel(
    plural(total, 'subscription'),
    total ? table(known, [['Filter', filter], ['QoS', (one) => granted[one], 'n']]) : html`<p class="count">It subscribes to nothing.</p>`,
    known.length < total ? html`<p class="small">The API shows the first ${number(known.length)} of them.</p>` : nothing,
  );
}

/** A filter, with a way to its group if it is shared. */
function filter(full) {
  const [, share, filter] = full.match(/^\$share\/([^/]+)\/(.*)$/su) ?? [];
  return share ? html`<a href=${path('/console/groups', share, filter)} data-row>${group(share, filter, 44)}</a>` : name(full, 60);
}
