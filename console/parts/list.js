// @ts-check
// What pages share: what is watched, lists, tables, choices, questions before something is taken away, and lines to copy.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { Resource } from '../api.js';
import { on, state, want } from '../store.js';
import { failure, instead, number, plural } from './text.js';

/** Asks now, and when the stream tells one of the topics of `gaps`, at most every so many ms; `more` is one that it does not tell anyhow. */
export function watch(url, changed, gaps, more = '') {
  const asked = new Resource(url, changed);
  const off = on((topic) => {
    const gap = topic === 'restarted' ? 500 : gaps[topic];
    // Whoever has very many clients is shown them less often.
    if (gap) asked.soon(state.stats?.sessions > 2000 ? 5 * gap : gap);
  });
  const drop = more ? want(more) : () => {};
  asked.refresh();
  return {
    asked,
    update: () => void asked.refresh(),
    close() {
      off();
      drop();
      asked.close();
    },
  };
}

/** The field by which the broker is to search. */
export const search = (route, label, placeholder) => html`<input type="search" aria-label=${label} placeholder=${placeholder}
  .value=${route.query.get('q') ?? ''} @input=${(event) => route.set({ q: event.target.value, after: '' })} />`;

/** What is shown of something that was asked for: that it failed, that it takes long, and it. @param {Resource} asked */
export const shown = (asked, view) => html`${instead(asked)} ${asked.value ? view(asked.value) : ''}`;

/** A page with a list; `page` says what its rows are called, their `limit`, the texts of the field, the `key` of the last row for the next page. */
export const list = (route, asked, page) => html`<div class="head">
    <h1>${page.title}</h1>
    <p class="count">${asked.value ? plural(asked.value.total, page.one) : ''}</p>
    ${page.choice} ${search(route, page.label, page.placeholder)}
  </div>
  ${shown(asked, (value) => {
    const rows = /** @type {any} */ (Object.values(value)[0]);
    const isFirst = !route.query.get('after');
    const isLast = rows.length < page.limit || value.total <= page.limit;
    return html`${rows.length ? page.table(rows) : page.empty()} ${isFirst && isLast ? nothing : html`<p class="pager">
      ${isFirst ? nothing : html`<a href=${route.href({ after: '' })}>First page</a>`}
      ${isLast ? nothing : html`<a href=${route.href({ after: page.key(rows.at(-1)) })}>Next page</a>`}
      ${plural(rows.length, page.one)} of ${number(value.total)} shown</p>`}`;
  })}`;

/**
 * A table of rows. A column is its title, the cell of a row, a class (`n`: numbers, `row`: it names the row), and
 * perhaps one for a cell: `warn`, `bad`.
 * @param {any[]} rows @param {[title: unknown, cell: (row) => unknown, kind?: string, mark?: (row) => string][]} columns
 */
export const table = (rows, columns) => html`<div class="scroll"><table class="list">
  <thead><tr>${columns.map(([title, , kind = '']) => (title ? html`<th scope="col" class=${kind}>${title}</th>` : html`<td></td>`))}</tr></thead>
  <tbody>${rows.map((row) => html`<tr>${columns.map(([, cell, kind = '', mark]) =>
    kind === 'row' ? html`<th scope="row">${cell(row)}</th>` : html`<td class="${kind} ${mark?.(row) ?? ''}">${cell(row)}</td>`,
  )}</tr>`)}</tbody>
</table></div>`;

/** A column of `table` with a count, marked where there are any. @returns {any} */
export const count = (title, key, mark = '') => [title, (row) => number(row[key]), 'n', (row) => (row[key] ? mark : '')];

/** One of a few, as buttons; what is chosen stands in the query. @param {string[][]} choices each a value and its title */
export const choice = (route, key, label, choices) => html`<div class="tabs" role="group" aria-label=${label}>
  ${choices.map(([value, title]) => html`<button aria-pressed=${(route.query.get(key) ?? '') === value} @click=${() => route.set({ [key]: value, after: '' })}>${title}</button>`)}
</div>`;

/** Lines that work against this very broker, to copy: perhaps a certificate, two that subscribe, and one that publishes. */
export const samples = (from = 0, to = 9) =>
  ((state.info && commands(state.info)[0]?.[1]) ?? []).flatMap(([, text]) => text.split('\n')).slice(from, to).map(copyable);

/** A question in the place where a button was: what is about to be done, and to whom. */
export class Ask {
  /** @type {any} */ open = null;
  /** @type {any} */ error = null;
  busy = false;

  constructor(changed) {
    this.changed = changed;
  }

  /** `what` is the question, with fields if there are any; `run` gets the form. @param {any} event @param {any} what @param {string} verb */
  ask(event, what, verb, run, done = () => {}) {
    this.open = { what, verb, run, done, opener: event.currentTarget };
    this.error = null;
    this.changed();
    requestAnimationFrame(() => /** @type {any} */ (document.querySelector('.ask select, .ask button'))?.focus());
  }

  /** Whether there was a question to send away. */
  cancel() {
    const { open } = this;
    this.open = null;
    this.changed();
    open?.opener.focus();
    return !!open;
  }

  async submit(event, { run, done }) {
    event.preventDefault();
    this.busy = true;
    try {
      await run(event.target);
      this.open = null;
      done();
    } catch (error) {
      this.error = error;
    }
    this.busy = false;
    this.changed();
  }

  view() {
    const { open } = this;
    if (!open) return nothing;
    return html`<form class="ask" @submit=${(event) => this.submit(event, open)}>
      ${open.what} <button class="danger" ?disabled=${this.busy}>${open.verb}</button>
      <button type="button" @click=${() => this.cancel()}>Cancel</button>
      ${this.error ? failure(this.error) : nothing}
    </form>`;
  }
}

// Lines to copy that work against this very broker.

const FILTER = '$share/workers/demo/#';

/** A word as a shell reads it. */
const word = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);
/** A line, if it is one. */
const line = (has, text) => (has ? `${text}\n` : '');

/** The port and the host of an address, as a client on this machine reaches it. */
function reach(address) {
  const [, host, port] = address.match(/^\[?(.*?)\]?:(\d+)$/);
  return { host: /^(127\.0\.0\.1|0\.0\.0\.0|::1?)$/.test(host) ? 'localhost' : host, port };
}

/** How the AWS CLI is told of this broker. @param {any} info */
export function awsCli(info) {
  const { host, port } = reach(info.listeners.http);
  return `aws --endpoint-url http://${host}:${port}`;
}

/** How a broker is reached: plain where that is possible, else with files: CA, or CA, certificate and key. */
function way({ listeners: { mqtt, mqtts }, ca_file: ca, certs, client_cert, has_users: users }) {
  if (mqtt) return { ...reach(mqtt), users, files: [], folder: '' };
  if (!mqtts) return null;
  const folder = ca?.endsWith('/ca.pem') ? ca.slice(0, -7) : certs;
  const own = client_cert === 'none' ? [] : [`${folder}/demo.certificate.pem`, `${folder}/demo.private.key`];
  return { ...reach(mqtts), users, files: [ca ?? `${folder}/ca.pem`, ...own], folder };
}

/** What to copy, by language: steps with a title and a text each. @param {any} info @returns {[string, [string, string][]][]} */
export function commands(info) {
  const to = way(info);
  if (!to) return [];
  const { host, port, files, folder, users } = to;
  /** @type {any[]} */
  const first = files.length > 1 ? [['A certificate for the clients', `roundel cert demo${folder === 'certs' ? '' : ` --certs ${word(folder)}`}`]] : [];
  const flags = [
    host === 'localhost' ? '' : ` -h ${word(host)}`,
    ` -p ${port}`,
    ...files.map((file, at) => ` ${['--cafile', '--cert', '--key'][at]} ${word(file)}`),
    users ? ' -u USER -P PASSWORD' : '',
  ].join('');
  const worker = (n) => `mosquitto_sub${flags} -V mqttv5 -i worker${n} -q 1 -t '${FILTER}' -v`;
  const quoted = files.map((file) => JSON.stringify(file));
  const [ca, cert, key] = quoted.map((file) => `std::fs::read(${file})?`);
  const python = `import paho.mqtt.client as mqtt

client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "worker3", protocol=mqtt.MQTTv5)
${line(ca, `client.tls_set(${quoted.join(', ')})`)}${line(users, 'client.username_pw_set("USER", "PASSWORD")')
}client.on_connect = lambda client, *_: client.subscribe("${FILTER}", 1)
client.on_message = lambda client, _, message: print(message.topic, message.payload.decode())
client.connect("${host}", ${port})
client.loop_forever()`;
  const node = `import mqtt from 'mqtt';
${line(ca, "import { readFileSync } from 'node:fs';")}
const client = mqtt.connect('mqtt${ca ? 's' : ''}://${host}:${port}', {
  clientId: 'worker4',
  protocolVersion: 5,
${quoted.map((file, at) => `  ${['ca', 'cert', 'key'][at]}: readFileSync(${file}),\n`).join('')}${line(users, "  username: 'USER',\n  password: 'PASSWORD',")
}});
client.on('connect', () => client.subscribe('${FILTER}', { qos: 1 }));
client.on('message', (topic, payload) => console.log(topic, payload.toString()));`;
  const rust = `use rumqttc::v5::{AsyncClient, MqttOptions, mqttbytes::QoS};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ${ca || users ? 'mut ' : ''}options = MqttOptions::new("worker5", "${host}", ${port});
${line(ca, `    options.set_transport(rumqttc::Transport::tls(${ca}, ${cert ? `Some((${cert}, ${key}))` : 'None'}, None));`)
}${line(users, '    options.set_credentials("USER", "PASSWORD");')
}    let (client, mut events) = AsyncClient::new(options, 10);
    client.subscribe("${FILTER}", QoS::AtLeastOnce).await?;
    loop {
        println!("{:?}", events.poll().await?);
    }
}`;
  const aws = info.has_registry && info.listeners.http && awsCli(info);
  /** @type {[string, [string, string][]][]} */
  const all = [
    ['mosquitto', [
      ...first,
      ['A group of two, each in a terminal of its own', `${worker(1)}\n${worker(2)}`],
      ['Messages: each goes to the one whose turn it is', `for n in 1 2 3 4 5 6; do mosquitto_pub${flags} -q 1 -t demo/$n -m "message $n"; done`],
    ]],
    ['Python', [...first, ['paho-mqtt 2, a member of the group', python]]],
    ['Node', [...first, ['mqtt 5, a member of the group', node]]],
    ['Rust', [...first, ['rumqttc and tokio, a member of the group', rust]]],
    ['AWS CLI', [
      ['Things and certificates', `${aws} iot create-thing --thing-name car1\n${aws} iot list-things`],
      ['A message', `${aws} iot-data publish --topic demo/1 --qos 1 \\\n  --cli-binary-format raw-in-base64-out --payload '{"speed": 75}'`],
    ]],
  ];
  return aws ? all : all.slice(0, -1);
}

/** A text with a button that copies it. @param {string} text */
export const copyable = (text) => html`<div class="copyable"><pre tabindex="0">${text}</pre><button @click=${copy}>Copy</button></div>`;

function copy({ currentTarget: button }) {
  getSelection()?.selectAllChildren(button.previousElementSibling);
  // Unlike `navigator.clipboard` it works over plain HTTP under another name than localhost, too.
  button.textContent = document.execCommand('copy') ? 'Copied' : 'Marked';
  setTimeout(() => (button.textContent = 'Copy'), 1500);
}
