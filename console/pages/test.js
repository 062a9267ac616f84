// @ts-check
// The test client: what it subscribes to, and what it publishes.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { repeat } from '../vendor/lit-html/directives/repeat.js';
import { path, post } from '../api.js';
import { choice } from '../parts/list.js';
import { payload, unpacked, VIEWS } from '../parts/payload.js';
import { found } from '../parts/rows.js';
import { client, end, subscribe } from '../parts/subscriber.js';
import { bytes, failure, moment, name, number, plural } from '../parts/text.js';

const utf8 = (/** @type {string} */ text) => new TextEncoder().encode(text);
const PROPERTIES = [
  ['content_type', 'Content Type', 'application/json'],
  ['response_topic', 'Response Topic', 'answers/1'],
  ['correlation_data', 'Correlation Data', 'any text'],
  ['message_expiry_interval', 'Message Expiry, seconds', '60'],
];
const QOS = [0, 1, 2];

/** @param {() => void} changed @param {any} route */
export function open(changed, route) {
  let at = client.all.length - 1;
  /** @type {any} */ let error = null;
  /** @type {any} */ let reached = null;
  /** @type {any[] | null} the messages as they are looked at */ let held = null;
  client.changed = changed;

  /** Does what a form says. @param {(form: any) => Promise<void>} run */
  const submit = (run) => async (/** @type {any} */ event) => {
    event.preventDefault();
    error = reached = null;
    await run(event.target).catch((failed) => (error = failed));
    changed();
  };
  const take = submit(async (form) => {
    await subscribe({
      filter: form.filter.value,
      qos: Number(form.qos.value),
      retain_handling: Number(form.retain_handling.value),
      no_local: form.no_local.checked,
      retain_as_published: form.retain_as_published.checked,
    });
    at = -1;
  });
  const send = submit(async (form) => {
    /** @type {any} */ const properties = {};
    for (const [key] of PROPERTIES) if (form[key].value) properties[key] = form[key].value;
    if (form.utf8.checked) properties.payload_format_indicator = 1;
    if (properties.message_expiry_interval) properties.message_expiry_interval = Number(properties.message_expiry_interval);
    if (properties.correlation_data) properties.correlation_data = btoa(String.fromCharCode(...utf8(properties.correlation_data)));
    const pairs = form.user_properties.value.split('\n').filter(Boolean);
    properties.user_properties = pairs.map((/** @type {string} */ pair) => [pair.split('=', 1)[0], pair.slice(pair.indexOf('=') + 1 || pair.length)]);
    const topic = form.topic.value;
    const message = { topic, payload: form.payload.value, qos: Number(form.qos.value), retain: form.retain.checked, properties };
    reached = { topic, ...(await post('/v1/publish', client.id ? { ...message, client_id: client.id } : message)) };
  });

  const box = (/** @type {string} */ key, /** @type {string} */ title) => html`<label><input type="checkbox" name=${key} /> ${title}</label>`;
  const select = (/** @type {string} */ key, /** @type {string} */ title, /** @type {any[]} */ options) => html`<label>${title} <select name=${key}>${options.map((text, value) => html`<option value=${value}>${text}</option>`)}</select></label>`;
  const field = (/** @type {string} */ key, /** @type {string} */ title, /** @type {string} */ hint) => html`<label class="field">${title} <input name=${key} placeholder=${hint} .value=${route.query.get(key) ?? ''} /></label>`;

  function received() {
    const one = client.all.at(at) ?? client.all.at(-1);
    if (!one) return html`<p class="calm">Messages come here once you subscribe. The page is then a client like any other, a member of a group with <code>$share/name/filter</code>.</p>`;
    const list = held ?? one.messages;
    return html`<div class="tabs" role="group" aria-label="Subscriptions">${client.all.map((other, place) => html`<button aria-pressed=${other === one} @click=${() => {
        at = place;
        held = null;
        changed();
      }}>${name(other.filter, 30)} ${number(other.count)}</button>`)}</div>
      <div class="head">${choice(route, 'view', 'Payloads as', VIEWS)}
        ${client.id ? html`<a href=${path('/console/clients', client.id)}>${client.id}</a>` : html`<span class="note bad">It has ended; subscribe again.</span>`}
        ${client.skipped ? html`<span class="chip warn">${number(client.skipped)} skipped</span>` : nothing}
        ${list[0] !== one.messages[0] ? html`<span class="chip">${one.count - (list[0]?.number ?? 0)} new ↑</span>` : nothing}
        <button @click=${() => end(one).catch((failed) => (error = failed)).finally(changed)}>Unsubscribe</button></div>
      <ol class="messages" @pointerenter=${() => (held = one.messages)} @pointerleave=${() => {
        held = null;
        changed();
      }}>${repeat(list, (message) => message.number, message)}</ol>
      <p class="small">${list.length ? `The last ${list.length} of ${number(one.count)}` : 'Nothing has come yet'}</p>`;
  }

  /** @param {any} got */
  const message = (got) => html`<li><time>${moment(got.at_ms)}</time> <a href=${found('topic', got.topic)} data-row>${name(got.topic, 60)}</a>
    <small>q${got.qos} ${got.retain ? 'retain' : ''} ${got.dup ? 'dup' : ''} ${bytes(got.payload_size)}</small>
    ${payload(got.payload_base64 ? unpacked(got.payload_base64) : utf8(got.payload), route.query.get('view'), got.payload_size)}
    ${Object.entries(got.properties).map(([key, value]) => html`<small>${key.replaceAll('_', ' ')} ${name(String(key === 'user_properties' ? value.map((/** @type {string[]} */ pair) => pair.join('=')).join(', ') : value), 200)}</small> `)}</li>`;

  return {
    title: 'Test client',
    close: () => (client.changed = () => {}),
    view: () => html`<h1>Test client</h1>
      ${error ? failure(error) : nothing}
      <div class="columns">
        <section class="panel"><h2>Subscribe</h2>
          <form class="test" @submit=${take}>
            ${field('filter', 'Topic filter', 'cars/#')} ${select('qos', 'QoS', QOS)} <button>Subscribe</button>
            <details><summary>Options</summary>
              ${select('retain_handling', 'Retained messages', ['send', 'send if new', 'do not send'])} ${box('retain_as_published', 'Retain As Published')} ${box('no_local', 'No Local')}
            </details>
          </form>
          ${received()}</section>
        <section class="panel"><h2>Publish</h2>
          <form class="test" @submit=${send}>
            ${field('topic', 'Topic', 'cars/7/data')} ${select('qos', 'QoS', QOS)} ${box('retain', 'retain')} <button>Publish</button>
            <label class="field">Payload <textarea name="payload" rows="4"></textarea></label>
            <details><summary>Properties</summary>
              ${PROPERTIES.map(([key, title, hint]) => field(key, title, hint))}
              <label class="field">User Properties, one a line <textarea name="user_properties" rows="2" placeholder="name=value"></textarea></label>
              ${box('utf8', 'Payload is UTF-8')}
            </details>
          </form>
          ${reached ? html`<p role="status">Reached ${plural(reached.subscribers, 'client')} and ${plural(reached.groups, 'group')}.
            <a href=${reached.row ? `/console/messages/${reached.row}` : found('topic', reached.topic)}>What came of it</a></p>` : nothing}</section>
      </div>`,
  };
}
