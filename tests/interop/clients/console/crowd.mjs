// Many clients at little cost: sockets that send bytes made by hand, and take what comes.

import { once } from 'node:events';
import { connect } from 'node:net';

const text = (value) => {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes]);
};

function packet(first, ...parts) {
  const body = Buffer.concat(parts);
  const length = [];
  for (let rest = body.length; length.length === 0 || rest > 0; rest >>= 7) length.push((rest & 127) | (rest > 127 ? 128 : 0));
  return Buffer.concat([Buffer.from([first, ...length]), body]);
}

/**
 * CONNECT of MQTT 5: no Keep Alive, a Receive Maximum if there is one, a session that stays for an hour if it lasts, a
 * will of QoS 1.
 */
function connectPacket(id, { lasts = false, window = 0, will } = {}) {
  const expiry = lasts ? [0x11, 0, 0, 14, 16] : [];
  const maximum = window ? [0x21, window >> 8, window & 255] : [];
  const properties = [expiry.length + maximum.length, ...expiry, ...maximum];
  const flags = (lasts ? 0 : 2) | (will ? 0x0c : 0);
  const last = will ? [Buffer.from([0]), text(will.topic), text(will.payload)] : [];
  return packet(0x10, text('MQTT'), Buffer.from([5, flags, 0, 0, ...properties]), text(id), ...last);
}

const subscribePacket = (filters, qos) =>
  packet(0x82, Buffer.from([0, 1, 0]), ...filters.map((filter) => Buffer.concat([text(filter), Buffer.from([qos])])));

/** PUBLISH of QoS 0, or 1 with a Packet Identifier. */
export const publishPacket = (topic, payload, id = 0, { retain = false } = {}) =>
  packet((id ? 0x32 : 0x30) | Number(retain), text(topic), Buffer.from(id ? [id >> 8, id & 255, 0] : [0]), Buffer.from(payload));

/** A socket that has sent something and has got an answer to it. */
async function open(port, bytes) {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true });
  socket.on('error', () => {});
  socket.write(bytes);
  const [answer] = await Promise.race([once(socket, 'data'), once(socket, 'close').then(() => [])]);
  if (!answer) throw new Error('the broker closed the connection');
  socket.resume();
  return socket;
}

/** A client that acknowledges what it gets, each `delay` milliseconds after it came; `null`: never. */
export async function client(port, id, { filters = [], qos = 0, delay = 0, ...options } = {}) {
  const socket = await open(port, connectPacket(id, options));
  if (qos > 0 && delay !== null) socket.on('data', acknowledge(socket, delay));
  if (filters.length) {
    const answer = once(socket, 'data');
    socket.write(subscribePacket(filters, qos));
    await answer;
  }
  return socket;
}

/** Where the first packet's variable header begins and where it ends; `null`: not all of it is here. */
function frame(bytes) {
  let length = 0;
  for (let at = 1; at < bytes.length; at += 1) {
    length += (bytes[at] & 127) << (7 * (at - 1));
    if (bytes[at] < 128) return at + 1 + length <= bytes.length ? { start: at + 1, end: at + 1 + length } : null;
  }
  return null;
}

/** Answers each PUBLISH of QoS 1. */
function acknowledge(socket, delay) {
  let rest = Buffer.alloc(0);
  return (bytes) => {
    rest = rest.length ? Buffer.concat([rest, bytes]) : bytes;
    const answers = [];
    for (let found = frame(rest); found; found = frame(rest)) {
      if ((rest[0] & 0xf6) === 0x32) {
        const id = found.start + 2 + rest.readUInt16BE(found.start);
        answers.push(Buffer.from([0x40, 2, rest[id], rest[id + 1]]));
      }
      rest = rest.subarray(found.end);
    }
    if (answers.length && delay) setTimeout(() => socket.write(Buffer.concat(answers)), delay);
    else if (answers.length) socket.write(Buffer.concat(answers));
  };
}

/** So many clients, some at a time; `make` gives each its options. */
export async function crowd(port, count, name, make = () => ({})) {
  const sockets = [];
  let next = 0;
  const lane = async () => {
    while (next < count) {
      const at = next++;
      sockets.push(await client(port, name(at), make(at)));
    }
  };
  await Promise.all(Array.from({ length: 64 }, lane));
  return sockets;
}

/** Publishes so many messages a second for so long. */
export async function flood(port, topic, { rate, seconds }) {
  const socket = await client(port, 'flood');
  const began = performance.now();
  for (let sent = 0; sent < rate * seconds; ) {
    const due = Math.min(rate * seconds, Math.round(((performance.now() - began) / 1000) * rate));
    const some = Array.from({ length: due - sent }, (_, at) => publishPacket(topic(sent + at), `${sent + at}`));
    if (socket.destroyed) throw new Error('the broker closed the connection');
    if (some.length && !socket.write(Buffer.concat(some))) await Promise.race([once(socket, 'drain'), once(socket, 'close')]);
    sent = Math.max(sent, due);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return socket;
}
