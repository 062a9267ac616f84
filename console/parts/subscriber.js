// @ts-check
// The client of this tab: one stream with all that it subscribes to. It lives on while other pages are looked
// at, and while nobody does.

import { ApiError, path, post, query, remove } from '../api.js';

/** Messages that are kept of a subscription. */
const KEPT = 100;

export const client = {
  /** its identifier, while it has a stream */ id: '',
  /** @type {{ id: number, filter: string, count: number, messages: any[] }[]} */ all: [],
  /** messages that came too fast for the stream */ skipped: 0,
  changed: () => {},
};
let stream = new AbortController();

/** @param {any} wanted filter and options */
export async function subscribe(wanted) {
  if (client.id) return void (await post(path('/v1/subscribe', client.id), wanted));
  const url = `/v1/subscribe${query(wanted)}`;
  stream = new AbortController();
  const answer = await fetch(url, { signal: stream.signal, cache: 'no-store' });
  if (!answer.body || !answer.ok) throw new ApiError((await answer.json()).error, `GET ${url}`, answer.status);
  read(answer.body.pipeThrough(new TextDecoderStream()).getReader());
}

/** Ends a subscription, and with the last one the client. @param {any} one */
export async function end(one) {
  client.all = client.all.filter((other) => other !== one);
  if (!client.all.length) {
    stream.abort();
    client.id = '';
  } else if (client.id) await remove(path('/v1/subscribe', client.id) + query({ filter: one.filter }));
}

/** @param {ReadableStreamDefaultReader<string>} reader */
async function read(reader) {
  const own = stream;
  let rest = '';
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      const events = (rest + part.value).split('\n\n');
      rest = events.pop() ?? '';
      for (const event of events) {
        const [, name, data] = event.match(/^event: (.*)\ndata: (.*)$/) ?? [];
        if (name) hear(name, JSON.parse(data));
      }
      client.changed();
    }
  } catch {
    // It was ended, or the broker is gone.
  }
  if (own === stream) client.id = '';
  client.changed();
}

/** @param {string} event @param {any} data */
function hear(event, data) {
  if (event === 'hello') [client.id, client.skipped] = [data.client_id, 0];
  if (event === 'subscribed') add(data);
  if (event === 'skipped') client.skipped += data.count;
  if (event !== 'message') return;
  for (const one of client.all.filter(({ id }) => data.subscriptions.includes(id))) {
    one.count += 1;
    one.messages = [{ ...data, number: one.count }, ...one.messages.slice(0, KEPT - 1)];
  }
}

/** @param {any} one */
function add(one) {
  client.all = [...client.all.filter(({ filter }) => filter !== one.filter), { ...one, count: 0, messages: [] }];
}
