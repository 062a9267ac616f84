// What all pages know, and the one stream that says when it is no longer so.

import { get, query } from './api.js';

/** Samples that are kept: a minute. */
export const SAMPLES = 60;

export const state = {
  /** @type {any} `/v1/info` */ info: null,
  /** @type {any} `/v1/quick-start` */ start: null,
  /** @type {any} the counters */ stats: null,
  /** @type {any[]} the counters with their rates, the last one last */ samples: [],
  /** @type {'connecting' | 'live' | 'slow' | 'paused' | 'lost'} `slow`: without a stream */ link: 'connecting',
  /** when the last frame came, by `performance.now()` */ heard: 0,
};

const listeners = new Set();

/** Calls `listen` with each event of the stream, until the function that it returns is called. */
export function on(/** @type {(topic: string, data: any) => void} */ listen) {
  listeners.add(listen);
  return () => listeners.delete(listen);
}

/** Milliseconds between two questions of a page without a stream, and two tries to get one. */
const SLOW = 2000;
/** Streams of all windows of a browser, which has six connections to a broker: the others are for requests. */
const PLACES = 4;

/** @type {EventSource | null} */
let source = null;
/** What the stream is to tell besides, and of what. */
const wanted = new Map();
let retry = 0;
let attempt = 0;
let instance = '';
/** @type {any} the counters that rates are reckoned from */
let counted = null;
/** Counts attempts to connect: earlier ones have nothing to say. */
let current = 0;
/** Gives the place of the stream back. */
let leave = () => {};

/** Has the stream tell a further topic, of `what` if it wants to know, until the function that it returns is called. */
export function want(topic, what = {}) {
  wanted.set(topic, what);
  if (source) connect();
  return () => {
    wanted.delete(topic);
    if (source) connect();
  };
}

export function start() {
  document.addEventListener('visibilitychange', () => (document.hidden ? rest() : connect()));
  addEventListener('pagehide', rest);
  addEventListener('focus', () => state.link === 'slow' && connect());
  if (!document.hidden) connect();
}

function rest() {
  disconnect();
  state.link = 'paused';
}

function disconnect() {
  current += 1;
  clearTimeout(retry);
  source?.close();
  source = null;
  leave();
  leave = () => {};
}

/** Takes a place, and says how to give it back; `null`: none is free. Whoever `steals` takes the last one from its window, which is told by `lost`. */
async function takePlace(steals, lost) {
  // Browsers have locks for pages of this machine, and for others over HTTPS.
  if (!navigator.locks) return () => {};
  for (let place = 1; place <= PLACES; place += 1) {
    const options = steals && place === PLACES ? { steal: true } : { ifAvailable: true };
    const leave = await new Promise((taken) => {
      const hold = (lock) => (lock ? new Promise((leave) => taken(() => leave(null))) : taken(null));
      navigator.locks.request(`stream ${place}`, options, hold).catch(lost);
    });
    if (leave) return leave;
  }
  return null;
}

async function connect(steals = document.hasFocus()) {
  disconnect();
  const mine = current;
  const isCurrent = () => mine === current;
  const place = await takePlace(steals, () => isCurrent() && ask());
  if (!isCurrent()) return place?.();
  if (!place) return ask();
  leave = place;
  const topics = ['stats', 'clients', 'groups', ...wanted.keys()].join();
  const opened = new EventSource(`/v1/events${query(Object.assign({ topics }, ...wanted.values()))}`);
  source = opened;
  for (const topic of ['hello', 'stats', 'clients', 'groups', 'turns', 'topics', 'journal'])
    opened.addEventListener(topic, ({ data }) => opened === source && hear(topic, JSON.parse(data)));
  opened.onerror = () => {
    if (opened !== source) return;
    // Closed for good: there was an answer, which is no stream.
    opened.readyState === EventSource.CLOSED ? ask() : lose();
  };
}

async function ask() {
  disconnect();
  const mine = current;
  const stats = await get('/v1/stats').catch(() => null);
  if (mine !== current) return;
  if (!stats) return lose();
  if (state.link !== 'slow') counted = null;
  state.link = 'slow';
  const isOther = stats.uptime_s < state.stats?.uptime_s;
  if (isOther || !state.info) learn();
  hear('stats', { ...stats, at_ms: performance.now() });
  for (const topic of [...(isOther ? ['restarted'] : []), 'clients', 'groups', 'topics', 'journal']) tell(topic);
  retry = window.setTimeout(connect, SLOW, false);
}

/** The stream has ended: tries again after one second, later after ten. */
function lose() {
  disconnect();
  state.link = 'lost';
  const wait = Math.min(10000, 1000 * 1.6 ** attempt) * (0.8 + 0.4 * Math.random());
  attempt += 1;
  retry = window.setTimeout(() => !document.hidden && connect(), wait);
  tell('link');
}

function hear(topic, data) {
  state.heard = performance.now();
  if (topic === 'stats') take(data);
  if (topic === 'hello') {
    attempt = 0;
    counted = null;
    state.link = 'live';
    const isOther = instance !== data.instance;
    const restarted = instance && isOther;
    instance = data.instance;
    if (isOther) state.samples = [];
    if (isOther || !state.info) learn();
    if (restarted) tell('restarted');
  }
  tell(topic, data);
}

/** @param {any} [data] */
function tell(topic, data) {
  for (const listen of listeners) listen(topic, data);
}

/** Asks what does not change while the broker runs. What fails is asked again with the next stream. */
async function learn() {
  const asked = ['info', 'quick-start'].map((what) => get(`/v1/${what}`));
  [state.info, state.start] = await Promise.all(asked).catch(() => []);
  tell('info');
}

function take(stats) {
  const before = counted;
  state.stats = counted = stats;
  const seconds = before ? (stats.at_ms - before.at_ms) / 1000 : 0;
  // A broker that was reset begins to count anew.
  if (seconds <= 0 || seconds >= 10 || stats.messages_received < before.messages_received) return;
  const rate = (name) => Math.max(0, (stats[name] - before[name]) / seconds);
  state.samples.push({
    in: rate('messages_received'),
    out: rate('messages_sent'),
    dropped: rate('messages_dropped'),
    in_flight: stats.in_flight,
    queued: stats.queued + stats.group_queued,
    clients: stats.clients_connected,
  });
  if (state.samples.length > SAMPLES) state.samples.shift();
}
