// @ts-check
// How names, numbers and times are written. What clients have sent is text, never markup; what would hide in
// it or turn it round is shown as what it is.

import { html, nothing } from '../vendor/lit-html/lit-html.js';

// Controls, and what changes the direction or the width of a text without being seen.
// biome-ignore lint/suspicious/noControlCharactersInRegex: those are looked for
const HIDDEN = /[\ufe00-\ufe0f\u0000-\u001f\u007f-\u009f\u00ad\u061c\u115f\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/gu;
/** Letters of two scripts that look alike. */
const SCRIPTS = [/\p{Script=Latin}/u, /\p{Script=Cyrillic}/u, /\p{Script=Greek}/u];

/** A text with its hidden characters named. @param {string} text */
export const plain = (text) =>
  text.replace(HIDDEN, (c) => `⟨U+${(c.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}⟩`);

/** A text in at most `most` characters, cut in the middle. @param {string} text @param {number} most */
export function cut(text, most) {
  const all = [...text];
  if (all.length <= most) return text;
  const head = Math.ceil((most - 1) / 2);
  return `${all.slice(0, head).join('')}…${all.slice(all.length - (most - 1 - head)).join('')}`;
}

/** A name for where there is little room. @param {string} text @param {number} most */
export const short = (text, most) => plain(cut(text, most));

/** Whether a text mixes letters that look alike. @param {string} text */
export const looksAlike = (text) => SCRIPTS.filter((script) => script.test(text)).length > 1;

/** A name that a client chose. @param {string} text @param {number} [most] */
export function name(text, most = 48) {
  const shown = short(text, most);
  const mark = looksAlike(text)
    ? html`<abbr class="alike" title="Letters of several scripts: it may look like another name">≈</abbr>`
    : nothing;
  return html`<bdi class="name" title=${text.length > most ? plain(text) : nothing}>${shown}</bdi>${mark}`;
}

/** `$share/workers/cars/#`, its parts told apart. @param {string} share @param {string} filter @param {number} [most] */
export const group = (share, filter, most = 48) =>
  html`<span class="share">$share/</span>${name(share, most)}<span class="share">/</span>${name(filter, most)}`;

const numbers = new Intl.NumberFormat('en');
/** @param {number} value */
export const number = (value) => numbers.format(value);

/** A rate, with as many digits as it deserves. @param {number} value */
export const rate = (value) => (value > 0 && value < 9.95 ? value.toFixed(1) : numbers.format(Math.round(value)));

/** Bytes, in units of 1024. @param {number} value */
export function bytes(value) {
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  let unit = 0;
  while (value >= 1024 && unit < 3) {
    value /= 1024;
    unit += 1;
  }
  return `${unit && value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** `1 d 02:03`, `02:03:04` or `3 s`. @param {number} seconds */
export function time(seconds) {
  const two = (/** @type {number} */ value) => String(Math.floor(value)).padStart(2, '0');
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  const clock = `${two((seconds / 3600) % 24)}:${two((seconds / 60) % 60)}`;
  if (seconds < 86400) return `${clock}:${two(seconds % 60)}`;
  return `${Math.floor(seconds / 86400)} d ${clock}`;
}

/** A local time with milliseconds. @param {number} ms since 1970 */
export function moment(ms) {
  const at = new Date(ms);
  const two = (/** @type {number} */ value, digits = 2) => String(value).padStart(digits, '0');
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${two(at.getMilliseconds(), 3)}`;
}

/** How much of a window is taken, to be seen beside the numbers. @param {number} taken @param {number} window */
export const meter = (taken, window) => html`<svg class="meter" viewBox="0 0 60 8" preserveAspectRatio="none" aria-hidden="true">
  <rect width="60" height="8" rx="2" /><rect class="fill" width=${(Math.min(1, taken / window || 0) * 60).toFixed(1)} height="8" rx="2" />
</svg>`;

/** What a page shows in the place of what failed. @param {any} error */
export const failure = (error) =>
  html`<p class="note bad" role="alert">${error.message}<br /><code>${plain(error.request ?? '')}</code></p>`;

/** How one and many are written. @param {number} count @param {string} one @param {string} [many] */
export const plural = (count, one, many = `${one.replace(/cy$/, 'cie')}s`) => `${number(count)} ${count === 1 ? one : many}`;
