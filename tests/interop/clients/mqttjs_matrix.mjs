// The interop matrix with MQTT.js, MQTT 3.1.1 and 5, over all four transports.
//
// Prints one JSON object per case and line, as the Python clients do (see cases.py).

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import mqtt from 'mqtt';

// How long one step of a case may take before the case counts as failed.
const DEADLINE_MS = 15_000;

const NAMES = ['version', 'transport', 'host', 'port', 'ca', 'cert', 'key', 'prefix', 'cases'];
const { values: ARGS } = parseArgs({
  options: Object.fromEntries(NAMES.map((name) => [name, { type: 'string' }])),
});

const CASES = {
  qos0: (open) => oneMessage(open, 0),
  qos1: (open) => oneMessage(open, 1),
  qos2: (open) => oneMessage(open, 2),
  shared,
  will,
  retained,
  resume,
};

async function oneMessage(open, qos) {
  const receiver = await open(`qos${qos}-sub`);
  check('granted QoS', await receiver.subscribe(`qos${qos}/+`, qos), qos);
  const sender = await open(`qos${qos}-pub`);
  await sender.publish(`qos${qos}/a`, 'first', qos);
  await sender.publish(`qos${qos}/a`, 'second', qos);
  for (const payload of ['first', 'second']) {
    check('message', await receiver.next(), [`qos${qos}/a`, payload, qos, false]);
  }
}

async function shared(open) {
  const members = [await open('shared-0'), await open('shared-1')];
  for (const member of members) {
    check('granted QoS', await member.subscribe('$share/group/shared/+', 1), 1);
  }
  const sender = await open('shared-pub');
  for (let n = 0; n < 10; n += 1) {
    await sender.publish('shared/a', `${n}`, 1);
  }
  for (let n = 0; n < 10; n += 1) {
    check(`message ${n}`, await members[n % 2].next(), ['shared/a', `${n}`, 1, false]);
  }
}

async function will(open) {
  const watcher = await open('will-watcher');
  await watcher.subscribe('will/gone', 1);
  const owner = await open('will-owner', { will: ['will/gone', 'gone', 1] });
  owner.crash();
  check('will', await watcher.next(), ['will/gone', 'gone', 1, false]);
}

async function retained(open) {
  const sender = await open('retained-pub');
  await sender.publish('retained/a', 'kept', 1, true);
  const receiver = await open('retained-sub');
  await receiver.subscribe('retained/a', 1);
  check('retained message', await receiver.next(), ['retained/a', 'kept', 1, true]);
  await sender.publish('retained/a', 'live', 1, true);
  check('live message', await receiver.next(), ['retained/a', 'live', 1, false]);
  await sender.publish('retained/a', '', 1, true);
  const late = await open('retained-late');
  await late.subscribe('retained/a', 1);
  await sender.publish('retained/a', 'after', 1);
  check('message after removal', await late.next(), ['retained/a', 'after', 1, false]);
}

async function resume(open) {
  const first = await open('resume-sub', { persistent: true });
  check('session present', first.sessionPresent, false);
  await first.subscribe('resume/a', 1);
  await first.close();
  const sender = await open('resume-pub');
  for (let n = 0; n < 3; n += 1) {
    await sender.publish('resume/a', `${n}`, 1);
  }
  const again = await open('resume-sub', { persistent: true });
  check('session present', again.sessionPresent, true);
  for (let n = 0; n < 3; n += 1) {
    check('queued message', await again.next(), ['resume/a', `${n}`, 1, false]);
  }
}

/** A connected client and the messages it received. */
class Peer {
  #client;
  #received = [];
  #arrived = () => {};

  static async open(name, { persistent = false, will: last } = {}) {
    const peer = new Peer();
    peer.#client = mqtt.connect(url(), {
      ...certificates(),
      clientId: `${ARGS.prefix}-${name}`,
      protocolVersion: Number(ARGS.version),
      clean: !persistent,
      properties: ARGS.version === '5' ? { sessionExpiryInterval: persistent ? 300 : 0 } : undefined,
      will: last && { topic: prefixed(last[0]), payload: last[1], qos: last[2] },
      reconnectPeriod: 0,
    });
    peer.#client.on('message', (topic, payload, { qos, retain }) => {
      peer.#received.push([topic.slice(ARGS.prefix.length + 1), payload.toString(), qos, retain]);
      peer.#arrived();
    });
    await within('CONNACK', (resolve, reject) => {
      peer.#client.on('error', reject);
      peer.#client.on('close', () => reject(new Error('connection closed before CONNACK')));
      peer.#client.on('connect', ({ sessionPresent }) => {
        peer.sessionPresent = sessionPresent;
        resolve();
      });
    });
    return peer;
  }

  /** Waits for SUBACK and returns its code. */
  async subscribe(filter, qos) {
    const [granted] = await settled('SUBACK', this.#client.subscribeAsync(prefixed(filter), { qos }));
    return granted.qos;
  }

  /** Waits until the exchange of this QoS is complete. */
  publish(topic, payload, qos, retain = false) {
    const sent = this.#client.publishAsync(prefixed(topic), payload, { qos, retain });
    return settled('acknowledgement', sent);
  }

  /** The next message. */
  async next() {
    if (this.#received.length === 0) {
      await within('message', (resolve) => {
        this.#arrived = resolve;
      });
    }
    return this.#received.shift();
  }

  /** Drops the connection without a DISCONNECT packet. */
  crash() {
    this.#client.stream.destroy();
  }

  /** Disconnects in the regular way; harmless after a crash. */
  close() {
    return settled('end', this.#client.endAsync());
  }
}

function url() {
  const scheme = { tcp: 'mqtt', tls: 'mqtts', ws: 'ws', wss: 'wss' }[ARGS.transport];
  return `${scheme}://${ARGS.host}:${ARGS.port}/mqtt`;
}

function certificates() {
  if (!['tls', 'wss'].includes(ARGS.transport)) {
    return {};
  }
  return { ca: readFileSync(ARGS.ca), cert: readFileSync(ARGS.cert), key: readFileSync(ARGS.key) };
}

/** The topic, or the filter, with the prefix that keeps runs apart. */
function prefixed(name) {
  const [, share = '', rest] = name.match(/^(\$share\/[^/]+\/)?(.*)$/);
  return `${share}${ARGS.prefix}/${rest}`;
}

/** A promise made by `executor` that is rejected when the deadline passes. */
function within(what, executor) {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`no ${what} within the deadline`)), DEADLINE_MS);
    executor(
      (value) => {
        clearTimeout(late);
        resolve(value);
      },
      (error) => {
        clearTimeout(late);
        reject(error);
      },
    );
  });
}

function settled(what, promise) {
  return within(what, (resolve, reject) => promise.then(resolve, reject));
}

function check(what, got, want) {
  if (JSON.stringify(got) !== JSON.stringify(want)) {
    throw new Error(`${what}: got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
  }
}

for (const name of ARGS.cases.split(',')) {
  const peers = [];
  const open = async (client, options) => {
    const peer = await Peer.open(client, options);
    peers.push(peer);
    return peer;
  };
  const result = { case: name, ok: true };
  try {
    await CASES[name](open);
  } catch (error) {
    result.ok = false;
    result.error = error.stack;
  }
  console.log(JSON.stringify(result));
  await Promise.all(peers.map((peer) => peer.close()));
}
