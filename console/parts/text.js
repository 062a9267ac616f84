// @ts-check
// How names, numbers and times are written. What clients have sent is text, never markup; what would hide in
// it or turn it round is shown as what it is.

import { html, nothing } from '../vendor/lit-html/lit-html.js';

// Controls, and what changes the direction or the width of a text without being seen.
// biome-ignore lint/suspicious/noControlCharactersInRegex: those are looked for
const HIDDEN = /[\ufe00-\ufe0f\u0000-\u001f\u007f-\u009f\u00ad\u061c\u115f\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/gu;
/** Letters of two scripts that look alike. */
const SCRIPTS = [/\p{Script=Latin}/u, /\p{Script=Cyrillic}/u, /\p{Script=Greek}/u];

/** A text with its hidden characters named. */
export const plain = (text) => text.replace(HIDDEN, (c) => `⟨U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}⟩`);

/** A text in at most `most` characters, cut in the middle. */
export function short(text, most) {
  const all = [...text];
  const head = Math.ceil((most - 1) / 2);
  return plain(all.length <= most ? text : [...all.slice(0, head), '…', ...all.slice(head + 1 - most)].join(''));
}

/** A name that a client chose. */
export const name = (text, most = 48) => html`<bdi class="name" title=${text.length > most ? plain(text) : nothing}>${short(text, most)}</bdi>${
  SCRIPTS.filter((script) => script.test(text)).length > 1
    ? html`<abbr class="alike" title="Letters of several scripts: it may look like another name">≈</abbr>`
    : nothing
}`;

/** `$share/workers/cars/#`, its parts told apart. */
export const group = (share, filter, most = 48) =>
  html`<span class="share">$share/</span>${name(share, most)}<span class="share">/</span>${name(filter, most)}`;

const numbers = new Intl.NumberFormat('en');
export const number = (value) => numbers.format(value);

export const plural = (count, one, many = `${one.replace(/cy$/, 'cie')}s`) => `${number(count)} ${count === 1 ? one : many}`;

export const rate = (value) => (value > 0 && value < 9.95 ? value.toFixed(1) : number(Math.round(value)));

/** Bytes, in units of 1024. */
export function bytes(value) {
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  let unit = 0;
  for (; value >= 1024 && unit < 3; unit += 1) value /= 1024;
  return `${unit && value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

const two = (value) => String(Math.floor(value)).padStart(2, '0');

/** Seconds as `1 d 02:03`, `02:03:04` or `3 s`. */
export function time(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  const clock = `${two((seconds / 3600) % 24)}:${two((seconds / 60) % 60)}`;
  return seconds < 86400 ? `${clock}:${two(seconds % 60)}` : `${Math.floor(seconds / 86400)} d ${clock}`;
}

/** Milliseconds since 1970 as a local time. */
export function moment(ms) {
  const at = new Date(ms);
  return `${[at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(':')}.${String(at.getMilliseconds()).padStart(3, '0')}`;
}

export const stamp = (ms) => html`<time title=${new Date(ms).toISOString()}>${moment(ms)}</time>`;

export const meter = (taken, window) => html`<svg class="meter" viewBox="0 0 60 8" preserveAspectRatio="none" aria-hidden="true">
  <rect width="60" height="8" rx="2" /><rect class="fill" width=${(Math.min(1, taken / window || 0) * 60).toFixed(1)} height="8" rx="2" />
</svg>`;

export const failure = (error) => html`<p class="note bad" role="alert">${error.message}<br /><code>${plain(error.request ?? '')}</code></p>`;

/** What there is beside an answer: that there is no such thing any more, that it failed, or that it takes long. */
export const instead = ({ error, loading }, gone = '') =>
  gone && error?.status === 404 ? html`<p class="note">${gone}</p>` : error ? failure(error) : loading ? html`<p class="note">Loading …</p>` : nothing;
