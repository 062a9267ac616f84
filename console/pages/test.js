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
const TEXTS = ['content_type', 'response_topic', 'correlation_data', 'message_expiry_interval'];
/** `a_key` as it is read. @param {string} key */
const titled = (key) => (key === 'qos' ? 'QoS' : key[0].toUpperCase() + key.slice(1).replaceAll('_', ' '));

/** The message that a form describes. @param {any} form */
function described(form) {
  /** @type {any} */ const properties = {};
  for (const key of TEXTS) if (form[key].value) properties[key] = form[key].value;
  const { correlation_data: data, message_expiry_interval: expiry } = properties;
  if (data) properties.correlation_data = btoa(String.fromCharCode(...utf8(data)));
  if (expiry) properties.message_expiry_interval = Number(expiry);
  if (form.payload_is_utf8.checked) properties.payload_format_indicator = 1;
  const pairs = form.user_properties.value.split('\n').filter(Boolean);
  properties.user_properties = pairs.map((/** @type {string} */ pair) => pair.match(/^([^=]*)=?(.*)$/)?.slice(1));
  const { topic, payload, qos, retain } = form;
  const own = client.id ? { client_id: client.id } : {};
  return { ...own, topic: topic.value, payload: payload.value, qos: Number(qos.value), retain: retain.checked, properties };
}

/** @param {() => void} changed @param {any} route */
export function open(changed, route) {
  /** @type {any} */ let at = client.all.at(-1);
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
    const [qos, retain_handling] = [Number(form.qos.value), Number(form.retain_handling.value)];
    const [no_local, retain_as_published] = [form.no_local.checked, form.retain_as_published.checked];
    await subscribe({ filter: form.filter.value, qos, retain_handling, no_local, retain_as_published });
    at = null;
  });
  const send = submit(async (form) => {
    const message = described(form);
    reached = { topic: message.topic, ...(await post('/v1/publish', message)) };
  });
  const look = (/** @type {any} */ one) => () => {
    [at, held] = [one, null];
    changed();
  };

  const box = (/** @type {string} */ key) => html`<label><input type="checkbox" name=${key} /> ${titled(key)}</label>`;
  const select = (/** @type {string} */ key, /** @type {any[]} */ all) =>
    html`<label>${titled(key)} <select name=${key}>${all.map((text, value) => html`<option value=${value}>${text}</option>`)}</select></label>`;
  const field = (/** @type {string} */ key) => html`<label class="field">${titled(key)} <input name=${key} .value=${route.query.get(key) ?? ''} /></label>`;
  const area = (/** @type {string} */ key, hint = '') => html`<label class="field">${titled(key)} <textarea name=${key} rows="3" placeholder=${hint}></textarea></label>`;
  const QOS = select('qos', [0, 1, 2]);

  function received() {
    const one = client.all.includes(at) ? at : client.all.at(-1);
    if (!one) return html`<p class="calm">Messages come here: this page is a client then, and with <code>$share/name/filter</code> a member of a group.</p>`;
    const list = held ?? one.messages;
    const fresh = one.count - (list[0]?.number ?? 0);
    return html`<div class="tabs" role="group" aria-label="Subscriptions">
        ${client.all.map((other) => html`<button aria-pressed=${other === one} @click=${look(other)}>${name(other.filter, 30)} ${number(other.count)}</button>`)}
      </div>
      <div class="head">
        ${choice(route, 'view', 'Payloads as', VIEWS)}
        ${client.id ? html`<a href=${path('/console/clients', client.id)}>${client.id}</a>` : html`<b>It has ended.</b>`}
        ${client.skipped ? html`<span class="chip warn">${number(client.skipped)} skipped</span>` : nothing} ${fresh ? html`<span class="chip">${fresh} new ↑</span>` : nothing}
        <button @click=${() => end(one).catch((failed) => (error = failed)).finally(changed)}>Unsubscribe</button>
      </div>
      <ol class="messages" @pointerenter=${() => (held = one.messages)} @pointerleave=${look(one)}>${repeat(list, ({ number }) => number, message)}</ol>
      <p class="small">${list.length ? `The last ${list.length} of ${number(one.count)}` : 'Nothing has come yet.'}</p>`;
  }

  /** @param {any} got */
  const message = (got) => html`<li>
    <time>${moment(got.at_ms)}</time> <a href=${found('topic', got.topic)} data-row>${name(got.topic, 60)}</a>
    <small>QoS ${got.qos} ${got.retain ? 'retain' : ''} ${got.dup ? 'dup' : ''} ${bytes(got.payload_size)}</small>
    ${payload(got.payload === undefined ? unpacked(got.payload_base64) : utf8(got.payload), route.query.get('view'), got.payload_size)}
    ${Object.entries(got.properties).map(([key, value]) => html`<small>${titled(key)} ${name([value].flat().map((pair) => [pair].flat().join('=')).join(', '), 200)}</small> `)}
  </li>`;

  return {
    title: 'Test client',
    close: () => (client.changed = () => {}),
    view: () => html`<h1>Test client</h1>
      ${error ? failure(error) : nothing}
      <div class="columns">
        <section class="panel">
          <h2>Subscribe</h2>
          <form class="test" @submit=${take}>
            ${field('filter')} ${QOS} <button>Subscribe</button>
            <details><summary>Options</summary>${select('retain_handling', ['send', 'send if new', 'do not send'])} ${box('retain_as_published')} ${box('no_local')}</details>
          </form>
          ${received()}
        </section>
        <section class="panel">
          <h2>Publish</h2>
          <form class="test" @submit=${send}>
            ${field('topic')} ${QOS} ${box('retain')} <button>Publish</button> ${area('payload')}
            <details><summary>Properties</summary>${TEXTS.map(field)} ${area('user_properties', 'name=value, one a line')} ${box('payload_is_utf8')}</details>
          </form>
          ${reached
            ? html`<p role="status">Reached ${plural(reached.subscribers, 'client')}, ${plural(reached.groups, 'group')}. <a href=${reached.row ? `/console/messages/${reached.row}` : found('topic', reached.topic)}>What came of it</a></p>`
            : nothing}
        </section>
      </div>`,
  };
}
