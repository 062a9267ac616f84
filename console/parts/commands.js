// @ts-check
// Lines to copy that work against this very broker.

import { html } from '../vendor/lit-html/lit-html.js';

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
