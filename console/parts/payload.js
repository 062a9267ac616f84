// @ts-check
// What a message carries: as JSON, text or bytes, and what has changed since the one before.

import { html } from '../vendor/lit-html/lit-html.js';
import { bytes as size, number, plain } from './text.js';

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
  ${whole > kept ? html`<p class="small">The first ${size(kept)} of ${size(whole)}.</p>` : ''}`;

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
