// @ts-check
// Requests to the control API.

/** A request that failed: what the API said, and what was asked. */
export class ApiError extends Error {
  /** @param {string} message @param {string} request @param {number} status 0 without an answer @param {string} [field] the part of the request that is wrong */
  constructor(message, request, status, field) {
    super(message);
    this.request = request;
    this.status = status;
    this.field = field;
  }
}

/**
 * Sends a request and reads the answer as JSON.
 * @param {string} method @param {string} path @param {unknown} [body]
 */
async function send(method, path, body) {
  const request = `${method} ${path}`;
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers: body === undefined ? {} : { 'content-type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(10000),
      cache: 'no-store',
    });
  } catch (error) {
    const late = error instanceof DOMException && error.name === 'TimeoutError';
    throw new ApiError(late ? 'no answer within 10 s' : 'the broker does not answer', request, 0);
  }
  const value = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new ApiError(value.error ?? `status ${answer.status}`, request, answer.status, value.field);
  return value;
}

/** @param {string} path */
export const get = (path) => send('GET', path);
/** @param {string} path @param {unknown} [body] */
export const post = (path, body) => send('POST', path, body);
/** @param {string} path */
export const remove = (path) => send('DELETE', path);

/** @param {string} path @param {unknown} body */
export const put = (path, body) => send('PUT', path, body);

/** A path of encoded parts: `path('/v1/clients', id)`. @param {string} start @param {string[]} parts */
export const path = (start, ...parts) => [start, ...parts.map(encodeURIComponent)].join('/');

/** A query; what is empty is left out. @param {Record<string, string | number | undefined | null>} values */
export function query(values) {
  const pairs = Object.entries(values).filter(([, value]) => value !== '' && value != null);
  const text = pairs.map(([name, value]) => `${name}=${encodeURIComponent(/** @type {string} */ (value))}`).join('&');
  return text && `?${text}`;
}

/**
 * Something of the API that a page shows: the last answer stays while the next one is on its way, and one
 * request is on its way at a time.
 */
export class Resource {
  /** @param {() => string} url empty: there is nothing to ask @param {() => void} changed called when there is something new */
  constructor(url, changed) {
    this.url = url;
    this.changed = changed;
    /** @type {any} */ this.value = null;
    /** @type {ApiError | null} */ this.error = null;
    this.since = performance.now();
    this.at = 0;
    this.busy = false;
    this.again = false;
    this.closed = false;
    this.timer = 0;
    this.asked = -Infinity;
  }

  /** Asks now, or once the answer to the last question has come. */
  async refresh() {
    if (this.closed || document.hidden || !this.url()) return;
    if (this.busy) {
      this.again = true;
      return;
    }
    this.busy = true;
    this.asked = performance.now();
    const url = this.url();
    try {
      const value = await get(url);
      if (url === this.url()) {
        this.value = value;
        this.error = null;
        this.at = performance.now();
      }
    } catch (error) {
      this.error = /** @type {ApiError} */ (error);
    }
    this.busy = false;
    if (this.closed) return;
    this.changed();
    if (this.again || url !== this.url()) {
      this.again = false;
      this.refresh();
    }
  }

  /** Asks soon, but not more often than every `gap` milliseconds. @param {number} gap */
  soon(gap) {
    if (this.timer || this.closed) return;
    const wait = Math.max(0, this.asked + gap - performance.now());
    this.timer = window.setTimeout(() => {
      this.timer = 0;
      this.refresh();
    }, wait);
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
