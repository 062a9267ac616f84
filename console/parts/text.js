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

/** What a message carries can be seen as JSON, text or bytes. */
export const VIEWS = [['', 'JSON'], ['text', 'Text'], ['hex', 'Hex']];
/** Lines that are shown of a change. */
const LINES = 300;

export const unpacked = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
export const hex = (byte) => byte.toString(16).padStart(2, '0');
export const ascii = (byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : '·');

/** JSON in lines, its tokens as they were: a number keeps its digits. */
function pretty(text) {
  JSON.parse(text);
  let depth = 0;
  const line = () => `\n${'  '.repeat(Math.min(depth, 40))}`;
  return text.replace(/("(?:[^"\\]+|\\.)*")|([[{])\s*([\]}])?|([\]}])|([,:])|\s+/g, (_, string, open, shut, close, mark) => {
    if (open && !shut) depth += 1;
    if (close) depth -= 1;
    if (open) return shut ? open + shut : open + line();
    return close ? line() + close : mark === ',' ? mark + line() : mark ? ': ' : (string ?? '');
  });
}

/** Lines of eight bytes. */
const dump = (bytes) =>
  Array.from({ length: Math.ceil(bytes.length / 8) }, (_, line) => {
    const row = Array.from(bytes.subarray(line * 8, line * 8 + 8));
    return `${(line * 8).toString(16).padStart(5, '0')} ${row.map(hex).join(' ').padEnd(23)} ${row.map(ascii).join('')}\n`;
  }).join('');

/** JSON that is longer than `room` in lines, text with its hidden characters named, or bytes; `view` is one of `VIEWS`. */
export function written(bytes, view, isCut = false, room = 0) {
  try {
    if (view === 'hex') throw view;
    // It may be cut within a character.
    let text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes, { stream: isCut });
    try {
      if (!view && text.length > room) text = pretty(text);
    } catch {}
    return text.replace(/[^\n\t]+/g, plain);
  } catch {
    return dump(bytes);
  }
}

/** A text, of which there are so many bytes of the whole. */
export const block = (text, kept, whole) => html`<pre tabindex="0">${text || 'empty'}</pre>
  ${whole > kept ? html`<p class="small">The first ${bytes(kept)} of ${bytes(whole)}.</p>` : ''}`;

/** A payload; what has room in a line stays in one. */
export const payload = (bytes, view, whole) => block(written(bytes, view, whole > bytes.length, 90), bytes.length, whole);

/** What has changed in a text: line by line where there are as many as before. */
export function diff(before, after) {
  const [old, now] = [before.split('\n'), after.split('\n')];
  while (old.length && old[0] === now[0]) [old.shift(), now.shift()];
  while (old.length && old.at(-1) === now.at(-1)) [old.pop(), now.pop()];
  const line = (mark, text) => `${mark} ${text.slice(0, 500)}\n`;
  const gone = (text) => html`<del>${line('−', text)}</del>`;
  const come = (text) => html`<ins>${line('+', text)}</ins>`;
  const lines =
    old.length === now.length
      ? old.flatMap((text, at) => (text === now[at] ? [] : [gone(text), come(now[at])]))
      : [...old.map(gone), ...now.map(come)];
  return html`<pre tabindex="0">${lines.slice(0, LINES)}${lines.length > LINES ? `… ${number(lines.length - LINES)} lines more` : ''}</pre>`;
}
