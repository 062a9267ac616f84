// What the pictures of the console show: a broker of a fleet of cars, with its workers and their troubles.

import { client, publishPacket } from './crowd.mjs';
import { startBroker } from './harness.mjs';

const CARS = 240;
const DEFAULT_PORTS = { mqtt: 1883, mqtts: 8883, ws: 8083, http: 9883 };

/** Numbers that look random and are the same each time. */
function random(seed) {
  let state = seed;
  return () => {
    state = (state * 1664525 + 1013904223) % 4294967296;
    return state / 4294967296;
  };
}

/** The ports that everybody knows, where they are free. */
async function start() {
  const anyone = ['--client-cert', 'none', '--set', 'aws.anonymous_policy=guests'];
  const usual = await startBroker('aws', DEFAULT_PORTS, anyone).catch(() => null);
  return usual ?? startBroker('aws', { mqtt: 0, mqtts: 0, ws: 0, http: 0 }, anyone);
}

/** A registry with cars, a policy for clients without a certificate, and a shadow; rules that wait for their packets; the journal. */
async function tellFleet(broker) {
  const arn = (resource) => `arn:aws:iot:us-east-1:123456789012:${resource}`;
  const guests = [
    { Effect: 'Allow', Action: ['iot:Connect', 'iot:Receive', 'iot:Publish', 'iot:Subscribe', 'iot:RetainPublish'], Resource: '*' },
    { Sid: 'NoRefunds', Effect: 'Deny', Action: 'iot:Publish', Resource: arn('topic/orders/*/refund') },
    { Sid: 'BillingOnly', Effect: 'Deny', Action: 'iot:Subscribe', Resource: arn('topicfilter/billing/*') },
  ];
  const car = [
    { Effect: 'Allow', Action: 'iot:Connect', Resource: arn('client/${iot:Connection.Thing.ThingName}') },
    { Effect: 'Allow', Action: 'iot:Publish', Resource: arn('topic/cars/${iot:Connection.Thing.ThingName}/*') },
  ];
  const document = (Statement) => ({ document: { Version: '2012-10-17', Statement } });
  const things = Object.fromEntries([7, 8, 9].map((at) => [`car-00${at}`, { groups: ['cars'], attributes: { site: at % 2 ? 'north' : 'south' } }]));
  await broker.api('PUT', '/v1/registry', {
    thing_groups: { cars: { policies: ['car'] } },
    things,
    policies: { guests: document(guests), car: document(car) },
  });
  const desired = { locked: true, climate: { celsius: 21 } };
  const reported = { locked: false, climate: { celsius: 18 }, firmware: '2.4.1' };
  await broker.api('POST', '/things/car-007/shadow', { state: { desired, reported } });
  const lost = { name: 'lost-puback', match: { type: 'PUBACK', direction: 'in', client: 'dev-*' }, do: 'drop', times: 3 };
  const slow = { name: 'slow-device', match: { type: 'PUBLISH', direction: 'out', client: 'dev-7' }, do: 'delay', delay_seconds: 2 };
  for (const rule of [lost, slow]) await broker.api('POST', '/v1/rules', rule);
  await broker.api('PUT', '/v1/journal', { on: true });
}

/** Starts the broker and its clients, which go on until it is stopped. */
export async function startScene() {
  const broker = await start();
  await tellFleet(broker);
  const port = broker.port('mqtt');
  const next = random(7);
  const lasts = true;
  const id = (at) => `car-${String(at + 1).padStart(3, '0')}`;
  const member = (name, filter, options = {}) =>
    client(port, name, { filters: [filter].flat(), qos: 1, lasts, window: 8, delay: 150, ...options });

  const cars = [];
  for (let at = 0; at < CARS; at += 1) {
    const will = { topic: `cars/${at + 1}/state`, payload: '{"state":"lost"}' };
    cars.push(await member(id(at), [`cars/${at + 1}/commands/#`, 'fleet/announcements'], { will }));
  }
  // The group that is looked at: one that is slow, one whose connection comes and goes, and others.
  const workers = '$share/workers/cars/#';
  await member('worker-1', workers);
  await member('worker-2', workers, { delay: 700 });
  let third = await member('worker-3', workers, { delay: 2600 });
  await member('worker-4', workers, { delay: null, window: 6 });
  await member('worker-5', workers, { delay: 240 });
  for (const at of [1, 2, 3]) await member(`invoice-${at}`, '$share/billing/orders/+/paid', { delay: 60 });
  for (const at of [1, 2]) await member(`pager-${at}`, '$share/alerts/+/+/alarm');
  for (let at = 1; at <= 12; at += 1) await member(`archive-${at}`, '$share/archive/#', { delay: 30, window: 100 });
  for (let at = 1; at <= 60; at += 1) await member(`sensor-reader-${at}`, '$share/readers/sensors/#', { delay: at % 9 ? 40 : null, window: 3 });
  // Away, with what waits for them.
  const sleepers = [];
  for (const at of [1, 2]) sleepers.push(await member(`audit-${at}`, '$share/audit/orders/#'));
  for (let at = 1; at <= 7; at += 1) sleepers.push(await member(`phone-${at}`, [`cars/${at}/state`, 'orders/+/paid']));
  const secure = { protocol: 'mqtts', port: broker.port('mqtts'), host: 'localhost', rejectUnauthorized: false };
  const dashboard = await broker.connect('dashboard', {
    ...secure,
    clean: false,
    keepalive: 60,
    will: { topic: 'fleet/dashboard', payload: '{"state":"gone"}', qos: 1, retain: true },
    properties: { sessionExpiryInterval: 3600, receiveMaximum: 20 },
  });
  await dashboard.subscribeAsync(['cars/+/state', 'cars/+/position', 'fleet/#', 'orders/+/paid', '$share/alerts/+/+/alarm'], { qos: 1 });
  const browser = await broker.connect('web-7f3a', { protocol: 'ws', port: broker.port('ws'), path: '/mqtt', protocolVersion: 4 });
  await browser.subscribeAsync('fleet/#', { qos: 0 });
  // What policies refuse.
  await dashboard.subscribeAsync('billing/invoices/#', { qos: 1 }).catch(() => {});
  for (const order of [1042, 1042, 1051]) await dashboard.publishAsync(`orders/${order}/refund`, '{"amount":12}', { qos: 1 }).catch(() => {});
  for (const socket of sleepers) socket.destroy();
  for (const car of [3, 17, 41, 42, 113, 114, 201]) cars[car].destroy();
  for (let at = 0; at < 40; at += 1)
    cars[0].write(publishPacket(`fleet/regions/${at + 1}`, `{"cars":${Math.round(next() * 40)}}`, 1, { retain: true }));

  const began = performance.now();
  let sent = 0;
  const timer = setInterval(() => {
    const seconds = (performance.now() - began) / 1000;
    // Up and down, as the day goes.
    const pace = 1 + 0.5 * Math.sin(seconds / 5) + 0.3 * Math.sin(seconds / 1.7);
    const car = Math.floor(next() * CARS);
    const id = (sent % 60000) + 1;
    const publish = (topic, payload) => {
      sent += 1;
      cars[car].write(publishPacket(topic, JSON.stringify(payload), id));
    };
    if (next() < 0.62) publish(`cars/${car + 1}/position`, { lat: 52.4 + next() / 5, lon: 13.2 + next() / 4, speed: Math.round(next() * 120) });
    if (next() < 0.12 * pace) publish(`orders/${1000 + (sent % 900)}/paid`, { amount: Math.round(next() * 9000) / 100, car: car + 1 });
    for (let at = 0; at < 4 * pace; at += 1) publish(`sensors/${Math.ceil(next() * 40)}/temperature`, { celsius: 18 + Math.round(next() * 80) / 10 });
  }, 70);
  return {
    broker,
    /** One of the workers loses its connection: what it had goes to the others. */
    async loseWorker() {
      third.destroy();
    },
    async bringBackWorker() {
      third = await member('worker-3', workers, { delay: 2600 });
    },
    async stop() {
      clearInterval(timer);
      for (const client of [dashboard, browser]) client.end(true);
      await broker.stop();
    },
  };
}
