// Clients of MQTT.js for faults_mqttjs.py, which says on standard input what they are to do, one JSON object to a line,
// and reads what they tell.

import { createInterface } from 'node:readline';
import mqtt from 'mqtt';

const clients = new Map();

function tell(client, ...words) {
  console.log(JSON.stringify({ client, text: words.filter((word) => word !== '').join(' ') }));
}

/** A Reason Code that is not one of the usual ones. */
function reason(code = 0) {
  return [0x00, 0x01, 0x02, 0x10].includes(code) ? '' : `0x${code.toString(16).padStart(2, '0')}`;
}

const ACTIONS = {
  open(id, url, keepalive, patience, clean) {
    const client = mqtt.connect(url, {
      clientId: id,
      protocolVersion: 5,
      clean,
      properties: { sessionExpiryInterval: 600 },
      keepalive,
      reconnectPeriod: 500,
      connectTimeout: patience * 1000,
    });
    clients.set(id, client);
    client.on('connect', (connack) => tell(id, 'connected', connack.sessionPresent ? 'with session' : ''));
    client.on('disconnect', (packet) => tell(id, 'got DISCONNECT', reason(packet.reasonCode)));
    client.on('error', (error) => tell(id, 'error', error.message));
    client.on('close', () => tell(id, 'disconnected'));
    client.on('message', (topic, payload) => tell(id, 'message', payload.toString()));
  },
  publish(id, topic, payload, qos, retain) {
    clients.get(id).publish(topic, payload, { qos, retain }, (error, packet) => {
      if (error) tell(id, error.code ? 'published' : 'not published', reason(error.code), error.message);
      else tell(id, 'published', reason(packet?.reasonCode));
    });
  },
  subscribe(id, filter, qos) {
    clients.get(id).subscribe(filter, { qos }, (error, granted) => {
      const codes = error?.packet?.granted;
      if (error) tell(id, codes ? 'subscribed' : 'not subscribed', reason(codes?.[0]), error.message);
      else tell(id, 'subscribed', reason(granted[0]?.qos));
    });
  },
  nothing() {},
  close(id) {
    clients.get(id).end(true);
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { client, do: what, given } = JSON.parse(line);
  ACTIONS[what](client, ...given);
  console.log(JSON.stringify({ done: what }));
}
process.exit(0);
