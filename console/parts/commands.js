// @ts-check
// Lines to copy that work against this very broker.

import { html } from '../vendor/lit-html/lit-html.js';

const FILTER = '$share/workers/demo/#';

/** A word as a shell reads it. @param {string} text */
const word = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

/** The port and the host of an address, as a client on this machine reaches it. @param {string} address */
function reach(address) {
  const at = address.lastIndexOf(':');
  const host = address.slice(0, at).replace(/^\[|\]$/g, '');
  const isHere = ['127.0.0.1', '::1', '0.0.0.0', '::'].includes(host);
  return { host: isHere ? 'localhost' : host, port: address.slice(at + 1) };
}

/** How the AWS CLI is told of this broker. @param {any} info */
export function awsCli(info) {
  const { host, port } = reach(info.listeners.http);
  return `aws --endpoint-url http://${host}:${port}`;
}

/** How a broker is reached: plain where that is possible. @param {any} info */
function way(info) {
  const { mqtt, mqtts } = info.listeners;
  if (mqtt) return { ...reach(mqtt), tls: null };
  if (!mqtts) return null;
  const folder = info.ca_file?.endsWith('/ca.pem') ? info.ca_file.slice(0, -7) : info.certs;
  const shows = info.client_cert !== 'none';
  return {
    ...reach(mqtts),
    tls: {
      ca: info.ca_file ?? `${folder}/ca.pem`,
      folder,
      cert: shows ? `${folder}/demo.certificate.pem` : '',
      key: shows ? `${folder}/demo.private.key` : '',
    },
  };
}

/**
 * What to copy, by language: steps with a title and a text each.
 * @param {any} info
 * @returns {[string, [string, string][]][]}
 */
export function commands(info) {
  const to = way(info);
  if (!to) return [];
  const { host, port, tls } = to;
  const issue = tls?.cert
    ? `roundel cert demo${tls.folder === 'certs' ? '' : ` --certs ${word(tls.folder)}`}`
    : '';
  const first = /** @type {[string, string][]} */ (issue ? [['A certificate for the clients', issue]] : []);
  const flags = [
    host === 'localhost' ? '' : ` -h ${word(host)}`,
    ` -p ${port}`,
    tls ? ` --cafile ${word(tls.ca)}` : '',
    tls?.cert ? ` --cert ${word(tls.cert)} --key ${word(tls.key)}` : '',
    info.has_users ? ' -u USER -P PASSWORD' : '',
  ].join('');
  const worker = (/** @type {number} */ n) => `mosquitto_sub${flags} -V mqttv5 -i worker${n} -q 1 -t '${FILTER}' -v`;
  const all = /** @type {[string, [string, string][]][]} */ ([
    [
      'mosquitto',
      [
        ...first,
        ['A group of two, each in a terminal of its own', `${worker(1)}\n${worker(2)}`],
        [
          'Messages: each goes to the one whose turn it is',
          `for n in 1 2 3 4 5 6; do mosquitto_pub${flags} -q 1 -t demo/$n -m "message $n"; done`,
        ],
      ],
    ],
    ['Python', [...first, ['paho-mqtt 2, a member of the group', python(to, info.has_users)]]],
    ['Node', [...first, ['mqtt 5, a member of the group', node(to, info.has_users)]]],
    ['Rust', [...first, ['rumqttc and tokio, a member of the group', rust(to, info.has_users)]]],
  ]);
  if (info.has_registry && info.listeners.http) {
    const aws = awsCli(info);
    all.push([
      'AWS CLI',
      [
        ['Things and certificates', `${aws} iot create-thing --thing-name car1\n${aws} iot list-things`],
        [
          'A message',
          `${aws} iot-data publish --topic demo/1 --qos 1 \\\n  --cli-binary-format raw-in-base64-out --payload '{"speed": 75}'`,
        ],
      ],
    ]);
  }
  return all;
}

/** @typedef {{ host: string, port: string, tls: null | { ca: string, cert: string, key: string } }} Way */

/** @param {Way} to @param {boolean} users */
function python({ host, port, tls }, users) {
  const files = [tls?.ca, tls?.cert, tls?.key].filter(Boolean).map((file) => JSON.stringify(file));
  return [
    'import paho.mqtt.client as mqtt',
    '',
    'client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "worker3", protocol=mqtt.MQTTv5)',
    ...(tls ? [`client.tls_set(${files.join(', ')})`] : []),
    ...(users ? ['client.username_pw_set("USER", "PASSWORD")'] : []),
    `client.on_connect = lambda client, *_: client.subscribe("${FILTER}", 1)`,
    'client.on_message = lambda client, _, message: print(message.topic, message.payload.decode())',
    `client.connect("${host}", ${port})`,
    'client.loop_forever()',
  ].join('\n');
}

/** @param {Way} to @param {boolean} users */
function node({ host, port, tls }, users) {
  const read = (/** @type {string} */ file) => `readFileSync(${JSON.stringify(file)})`;
  return [
    "import mqtt from 'mqtt';",
    ...(tls ? ["import { readFileSync } from 'node:fs';"] : []),
    '',
    `const client = mqtt.connect('${tls ? 'mqtts' : 'mqtt'}://${host}:${port}', {`,
    "  clientId: 'worker4',",
    '  protocolVersion: 5,',
    ...(tls ? [`  ca: ${read(tls.ca)},`] : []),
    ...(tls?.cert ? [`  cert: ${read(tls.cert)},`, `  key: ${read(tls.key)},`] : []),
    ...(users ? ["  username: 'USER',", "  password: 'PASSWORD',"] : []),
    '});',
    `client.on('connect', () => client.subscribe('${FILTER}', { qos: 1 }));`,
    "client.on('message', (topic, payload) => console.log(topic, payload.toString()));",
  ].join('\n');
}

/** @param {Way} to @param {boolean} users */
function rust({ host, port, tls }, users) {
  const read = (/** @type {string} */ file) => `std::fs::read(${JSON.stringify(file)})?`;
  const own = tls?.cert ? `Some((${read(tls.cert)}, ${read(tls.key)}))` : 'None';
  return [
    'use rumqttc::v5::{AsyncClient, MqttOptions, mqttbytes::QoS};',
    '',
    '#[tokio::main]',
    'async fn main() -> Result<(), Box<dyn std::error::Error>> {',
    `    let ${tls || users ? 'mut ' : ''}options = MqttOptions::new("worker5", "${host}", ${port});`,
    ...(tls ? [`    options.set_transport(rumqttc::Transport::tls(${read(tls.ca)}, ${own}, None));`] : []),
    ...(users ? ['    options.set_credentials("USER", "PASSWORD");'] : []),
    '    let (client, mut events) = AsyncClient::new(options, 10);',
    `    client.subscribe("${FILTER}", QoS::AtLeastOnce).await?;`,
    '    loop {',
    '        println!("{:?}", events.poll().await?);',
    '    }',
    '}',
  ].join('\n');
}

/** A text with a button that copies it. @param {string} text */
export const copyable = (text) => html`<div class="copyable">
  <pre tabindex="0">${text}</pre>
  <button @click=${(/** @type {Event} */ event) => copy(event, text)}>Copy</button>
</div>`;

/** @param {Event} event @param {string} text */
async function copy(event, text) {
  const button = /** @type {HTMLElement} */ (event.currentTarget);
  let done = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // A page of plain HTTP under another name than localhost has no clipboard: the text is marked for Ctrl-C.
    const range = document.createRange();
    range.selectNodeContents(/** @type {HTMLElement} */ (button.previousElementSibling));
    getSelection()?.removeAllRanges();
    getSelection()?.addRange(range);
    done = false;
  }
  button.textContent = done ? 'Copied' : 'Marked';
  setTimeout(() => (button.textContent = 'Copy'), 1500);
}
