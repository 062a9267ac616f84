// @ts-check
// What all pages know, and the one stream that says when it is no longer so.

import { get, query } from './api.js';

/** Samples that are kept for the sparklines: a minute. */
export const SAMPLES = 60;

export const state = {
  /** @type {any} `/v1/info` */ info: null,
  /** @type {any} the counters */ stats: null,
  /** @type {any[]} the counters with their rates, the last one last */ samples: [],
  /** @type {number | null} */ groups: null,
  /** @type {'connecting' | 'live' | 'paused' | 'lost'} */ link: 'connecting',
  /** when the last frame came, by `performance.now()` */ heard: 0,
};

/** @type {Set<(topic: string, data: any) => void>} */
const listeners = new Set();

/** Calls `listen` with each event of the stream, until the function that it returns is called. */
export function on(/** @type {(topic: string, data: any) => void} */ listen) {
  listeners.add(listen);
  return () => listeners.delete(listen);
}

/** @type {EventSource | null} */
let source = null;
/** @type {{ share: string, filter: string } | null} */
let turns = null;
/** @type {Set<string>} what the stream is to tell besides */
const wanted = new Set();
let retry = 0;
let attempt = 0;
let instance = '';

/** Says whose turns are to be told; `null`: nobody's. @param {{ share: string, filter: string } | null} group */
export function follow(group) {
  if (turns?.share === group?.share && turns?.filter === group?.filter) return;
  turns = group;
  if (source) connect();
}

/** Has the stream tell a further topic, until the function that it returns is called. @param {string} topic */
export function want(topic) {
  wanted.add(topic);
  if (source) connect();
  return () => {
    wanted.delete(topic);
    if (source) connect();
  };
}

/** Begins, and stops for as long as the page is hidden. */
export function start() {
  document.addEventListener('visibilitychange', () => (document.hidden ? rest() : connect()));
  window.addEventListener('pagehide', rest);
  if (!document.hidden) connect();
}

function rest() {
  disconnect();
  state.link = 'paused';
}

function disconnect() {
  clearTimeout(retry);
  source?.close();
  source = null;
}

function connect() {
  disconnect();
  const topics = ['stats', 'clients', 'groups', ...wanted, ...(turns ? ['turns'] : [])];
  const opened = new EventSource(`/v1/events${query({ topics: topics.join(','), ...turns })}`);
  source = opened;
  for (const topic of ['hello', 'stats', 'clients', 'groups', 'turns', 'topics', 'journal']) {
    opened.addEventListener(topic, (event) => {
      if (opened === source) hear(topic, JSON.parse(event.data));
    });
  }
  opened.onerror = () => {
    if (opened === source) lose();
  };
}

/** The stream has ended: tries again after one second, later after ten. */
function lose() {
  disconnect();
  if (state.link !== 'lost') state.link = 'lost';
  const wait = Math.min(10000, 1000 * 1.6 ** attempt) * (0.8 + 0.4 * Math.random());
  attempt += 1;
  retry = window.setTimeout(() => !document.hidden && connect(), wait);
  tell('link', null);
}

/** @param {string} topic @param {any} data */
function hear(topic, data) {
  state.heard = performance.now();
  if (topic === 'hello') {
    attempt = 0;
    state.link = 'live';
    const restarted = instance !== '' && instance !== data.instance;
    if (instance !== data.instance) state.samples = [];
    if (instance !== data.instance || !state.info) learn();
    instance = data.instance;
    if (restarted) tell('restarted', null);
  }
  if (topic === 'stats') {
    take(data);
  }
  if (topic === 'groups') state.groups = data.total;
  tell(topic, data);
}

function tell(/** @type {string} */ topic, /** @type {any} */ data) {
  for (const listen of listeners) listen(topic, data);
}

/** Asks what does not change while the broker runs. What fails is asked again with the next stream. */
async function learn() {
  state.info = await get('/v1/info').catch(() => null);
  tell('info', null);
}

/** @param {any} stats */
function take(stats) {
  const before = state.stats;
  state.stats = stats;
  const seconds = before ? (stats.at_ms - before.at_ms) / 1000 : 0;
  // Streams begin to count anew, and so does a broker that was reset.
  if (seconds > 0 && seconds < 10 && stats.messages_received >= before.messages_received) {
    const rate = (/** @type {string} */ name) => Math.max(0, (stats[name] - before[name]) / seconds);
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
}
