// Requests to the control API.

/** A request that failed: what the API said, what was asked, the status (0 without an answer), and the field that is wrong. */
export class ApiError extends Error {
  constructor(message, request, status, field = '') {
    super(message);
    Object.assign(this, { request, status, field });
  }
}

async function send(method, path, /** @type {unknown} */ body = undefined) {
  const request = `${method} ${path}`;
  const headers = { 'content-type': 'application/json' };
  let answer;
  /** @type {any} */ let value = {};
  try {
    answer = await fetch(path, {
      method,
      ...(body !== undefined && { headers, body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(10000),
      cache: 'no-store',
    });
    value = await answer.json();
  } catch (error) {
    const isLate = error instanceof DOMException && error.name === 'TimeoutError';
    // What breaks off is no answer; an error says enough by its status.
    if (!answer || answer.ok) throw new ApiError(isLate ? 'no answer within 10 s' : 'the broker does not answer', request, 0);
  }
  if (!answer.ok) throw new ApiError(value.error ?? `status ${answer.status}`, request, answer.status, value.field);
  return value;
}

export const get = (path) => send('GET', path);
/** @param {unknown} [body] */
export const post = (path, body) => send('POST', path, body);
export const put = (path, body) => send('PUT', path, body);
export const remove = (path) => send('DELETE', path);

/** A path of encoded parts: `path('/v1/clients', id)`. */
export const path = (start, ...parts) => [start, ...parts.map(encodeURIComponent)].join('/');

/** A query; what is empty is left out. */
export function query(values) {
  const pairs = Object.entries(values).filter(([, value]) => value !== '' && value != null);
  return pairs.length ? `?${pairs.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&')}` : '';
}

/** Something of the API that a page shows: the last answer stays until the next one; one request is on its way at a time. */
export class Resource {
  /** @type {any} */ value = null;
  /** @type {any} */ error = null;
  since = performance.now();
  /** when the last answer came, and the last question went */
  at = 0;
  asked = -Infinity;
  busy = false;
  again = false;
  closed = false;
  timer = 0;

  /** @param {() => string} url empty: there is nothing to ask @param {() => void} changed called when there is something new */
  constructor(url, changed) {
    this.url = url;
    this.changed = changed;
  }

  /** Asks now, or once the answer to the last question has come. */
  async refresh() {
    const url = this.url();
    if (this.closed || document.hidden || !url) return;
    if (this.busy) {
      this.again = true;
      return;
    }
    this.busy = true;
    this.asked = performance.now();
    try {
      const value = await get(url);
      if (url === this.url()) Object.assign(this, { value, error: null, at: performance.now() });
    } catch (error) {
      this.error = error;
    }
    this.busy = false;
    if (this.closed) return;
    this.changed();
    if (!this.again && url === this.url()) return;
    this.again = false;
    this.refresh();
  }

  /** Asks soon, but not more often than every `gap` milliseconds. */
  soon(gap) {
    if (this.timer || this.closed) return;
    this.timer = window.setTimeout(() => {
      this.timer = 0;
      this.refresh();
    }, Math.max(0, this.asked + gap - performance.now()));
  }

  /** Nothing has come yet, for long enough to say so. */
  get loading() {
    return !this.value && !this.error && performance.now() - this.since > 200;
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
  }
}
