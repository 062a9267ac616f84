// MQTT.js for the chaos run. The commands and events are those of chaos.py.

import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import mqtt from 'mqtt';

const { values: ARGS } = parseArgs({
  options: { port: { type: 'string' }, 'keep-alive': { type: 'string' } },
});
const CLIENTS = new Map();

function say(...words) {
  process.stdout.write(`${words.join(' ').replaceAll('\n', ' ')}\n`);
}

/** A text as one word. */
function word(text) {
  return text.replaceAll(/[ \n]/g, '_') || '-';
}

function open(id, clean) {
  const client = mqtt.connect(`mqtt://127.0.0.1:${ARGS.port}`, {
    clientId: id,
    protocolVersion: 5,
    clean: clean === '1',
    keepalive: Number(ARGS['keep-alive']),
    properties: { sessionExpiryInterval: 0xffffffff },
    reconnectPeriod: 50,
    connectTimeout: 2000,
    // The driver subscribes.
    resubscribe: false,
    will: { topic: `will/${id}`, payload: `will-${id}`, qos: 1 },
  });
  client.on('connect', (connack) => {
    client.options.clean = false;
    say('up', id, Number(connack.sessionPresent));
  });
  client.on('close', () => say('down', id));
  client.on('message', (topic, payload, { qos }) => say('got', id, word(topic), qos, word(payload.toString())));
  client.on('error', (error) => say('note', id, error.message));
  return client;
}

function forget(id) {
  const client = CLIENTS.get(id);
  if (client) {
    client.removeAllListeners('message');
    client.removeAllListeners('connect');
    client.stream.destroy();
    client.end(true);
    CLIENTS.delete(id);
  }
}

const COMMANDS = {
  open(id, clean) {
    forget(id);
    CLIENTS.set(id, open(id, clean));
  },
  sub(id, qos, ...filters) {
    CLIENTS.get(id).subscribe(filters, { qos: Number(qos) }, (error) => {
      say(...(error ? ['note', id, `SUBSCRIBE: ${error.message}`] : ['suback', id]));
    });
  },
  pub(id, topic, qos, retain, text) {
    CLIENTS.get(id).publish(topic, text, { qos: Number(qos), retain: retain === '1' }, (error) => {
      if (!error) {
        say('acked', id, text);
      }
    });
  },
  cut: (id) => CLIENTS.get(id).stream.destroy(),
  leave: (id) => CLIENTS.get(id).end(false, { reasonCode: 0 }),
  back: (id) => CLIENTS.get(id).reconnect(),
  stop(id) {
    forget(id);
    say('gone', id);
  },
};

process.on('uncaughtException', (error) => say('note', '-', `uncaught: ${error.stack}`));
process.on('unhandledRejection', (error) => say('note', '-', `unhandled: ${error}`));
const input = createInterface({ input: process.stdin });
input.on('line', (line) => {
  const [command, ...rest] = line.split(' ');
  try {
    COMMANDS[command](...rest);
  } catch (error) {
    say('note', rest[0], `${command}: ${error.message}`);
  }
});
// The driver is gone.
input.on('close', () => process.exit());
