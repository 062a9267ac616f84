// The test client: what it subscribes to, and what it publishes. Its one stream lives on while other pages are looked
// at, and while nobody does.

import { html } from '../vendor/lit-html/lit-html.js';
import { ApiError, path, post, query, remove } from '../api.js';
import { choice, panel } from '../parts/list.js';
import { bytes, failure, moment, name, number, payload, plural, unpacked, VIEWS } from '../parts/text.js';
import { found } from './messages.js';

/** Messages that are kept of a subscription. */
const KEPT = 60;

/** Its identifier while it has a stream, its subscriptions, and how many messages came too fast for the stream. */
const client = {
  id: '',
  /** @type {any[]} each with `id`, `filter`, `count`, and `messages`, the newest first */ all: [],
  skipped: 0,
  changed: () => {},
};
/** @type {ReadableStreamDefaultReader<string> | undefined} */
let stream;

/** Subscribes to a filter, with options. */
async function subscribe(wanted) {
  if (client.id) return post(path('/v1/subscribe', client.id), wanted);
  const url = `/v1/subscribe${query(wanted)}`;
  const answer = await fetch(url, { cache: 'no-store' });
  if (!answer.body || !answer.ok) throw new ApiError((await answer.json()).error, `GET ${url}`, answer.status);
  stream = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  read(stream);
}

/** Ends a subscription, and with the last one the client. */
async function end(one) {
  client.all = client.all.filter((other) => other !== one);
  if (client.id && client.all.length) return remove(path('/v1/subscribe', client.id) + query({ filter: one.filter }));
  client.id = '';
  await stream?.cancel();
}

async function read(own) {
  let rest = '';
  for (;;) {
    // It fails when the broker is gone.
    const { value } = await own.read().catch(() => ({}));
    if (!value) break;
    const events = (rest + value).split('\n\n');
    rest = events.pop() ?? '';
    for (const event of events) {
      const [, name, data] = event.match(/^event: (.*)\ndata: (.*)$/) ?? [];
      if (name) hear(name, JSON.parse(data));
    }
    client.changed();
  }
  if (own === stream) client.id = '';
  client.changed();
}

function hear(event, data) {
  if (event === 'hello') [client.id, client.skipped] = [data.client_id, 0];
  if (event === 'subscribed') client.all = [...client.all.filter(({ filter }) => filter !== data.filter), { ...data, count: 0, messages: [] }];
  if (event === 'skipped') client.skipped += data.count;
  if (event !== 'message') return;
  for (const one of client.all.filter(({ id }) => data.subscriptions.includes(id))) {
    one.count += 1;
    one.messages = [{ ...data, number: one.count }, ...one.messages.slice(0, KEPT - 1)];
  }
}

const encoder = new TextEncoder();
const utf8 = (text) => encoder.encode(text);
const TEXTS = ['content_type', 'response_topic', 'correlation_data', 'message_expiry_interval', 'topic_alias'];
/** `a_key` as it is read. */
const titled = (key) => (key === 'qos' ? 'QoS' : key[0].toUpperCase() + key.slice(1).replaceAll('_', ' '));

/** What a form says, but for what is empty. */
const said = (form) =>
  Object.fromEntries(
    [...form.elements]
      .filter(({ name, value }) => name && value)
      .map(({ name, type, checked, value }) => [name, type === 'checkbox' ? checked : type === 'select-one' ? Number(value) : value]),
  );

/** The message that a form describes. */
function described(form) {
  const { topic = '', payload = '', qos, retain, payload_is_utf8, ...properties } = said(form);
  const { correlation_data: data, message_expiry_interval: expiry, topic_alias: alias, user_properties: pairs = '' } = properties;
  if (data) properties.correlation_data = btoa(String.fromCharCode(...utf8(data)));
  if (expiry) properties.message_expiry_interval = Number(expiry);
  if (alias) properties.topic_alias = Number(alias);
  if (payload_is_utf8) properties.payload_format_indicator = 1;
  properties.user_properties = pairs.split('\n').filter(Boolean).map((pair) => pair.match(/^([^=]*)=?(.*)$/).slice(1));
  return { client_id: client.id || undefined, topic, payload, qos, retain, properties };
}

export function open(changed, route) {
  /** The subscription whose messages are seen, these as they are looked at, and what came of a form. */
  let [at, held, error, reached] = /** @type {any[]} */ ([client.all.at(-1)]);
  client.changed = changed;

  const look = (one = undefined) => () => {
    [at, held] = [one, null];
    changed();
  };
  /** Does what a form says. */
  const submit = (run) => async (event) => {
    event.preventDefault();
    error = reached = null;
    await run(event.target).catch((failed) => (error = failed));
    changed();
  };
  const take = submit((form) => subscribe(said(form)).then(look()));
  const send = submit(async (form) => {
    const message = described(form);
    reached = { topic: message.topic, ...(await post('/v1/publish', message)) };
  });

  const box = (key) => html`<label><input type="checkbox" name=${key} /> ${titled(key)}</label>`;
  const select = (key, all) => html`<label>${titled(key)} <select name=${key}>${all.map((text, value) => html`<option value=${value}>${text}</option>`)}</select></label>`;
  const field = (key) => html`<label class="field">${titled(key)} <input name=${key} .value=${route.query.get(key) ?? ''} /></label>`;
  const area = (key, hint = '') => html`<label class="field">${titled(key)} <textarea name=${key} rows="3" placeholder=${hint}></textarea></label>`;
  const QOS = select('qos', [0, 1, 2]);

  function received() {
    const one = client.all.includes(at) ? at : client.all.at(-1);
    if (!one) return html`<p class="calm">Messages come here: this page is a client then, and with <code>$share/name/filter</code> a member of a group.</p>`;
    const list = held ?? one.messages;
    return html`<div class="tabs" role="group" aria-label="Subscriptions">
        ${client.all.map((other) => html`<button aria-pressed=${other === one} @click=${look(other)}>${name(other.filter, 30)} ${number(other.count)}</button>`)}
      </div>
      <div class="head">
        ${choice(route, 'view', 'Payloads as', VIEWS)}
        ${client.id ? html`<a href=${path('/console/clients', client.id)}>${client.id}</a>` : html`<b>It has ended.</b>`}
        ${client.skipped ? html`<span class="chip warn">${number(client.skipped)} skipped</span>` : ''}
        <button @click=${() => end(one).catch((failed) => (error = failed)).finally(changed)}>Unsubscribe</button>
      </div>
      <ol class="messages" @pointerenter=${() => (held = one.messages)} @pointerleave=${look(one)}>${list.map(message)}</ol>
      <p class="small">${list.length ? `The last ${list.length} of ${number(one.count)}` : 'Nothing has come yet.'}</p>`;
  }

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
      ${error ? failure(error) : ''}
      <div class="columns">
        ${panel('Subscribe', html`<form class="test" @submit=${take}>
            ${field('filter')} ${QOS} <button>Subscribe</button>
            <details><summary>Options</summary>${select('retain_handling', ['send', 'send if new', 'do not send'])} ${box('retain_as_published')} ${box('no_local')}</details>
          </form>
          ${received()}`)}
        ${panel('Publish', html`<form class="test" @submit=${send}>
            ${field('topic')} ${QOS} ${box('retain')} <button>Publish</button> ${area('payload')}
            <details><summary>Properties</summary>${TEXTS.map(field)} ${area('user_properties', 'name=value, one a line')} ${box('payload_is_utf8')}</details>
          </form>
          ${reached
            ? html`<p role="status">Reached ${plural(reached.subscribers, 'client')}, ${plural(reached.groups, 'group')}. <a href=${reached.row ? `/console/messages/${reached.row}` : found('topic', reached.topic)}>What came of it</a></p>`
            : ''}`)}
      </div>`,
  };
}
