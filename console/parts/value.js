// @ts-check
// What a message carries, as JSON, text or bytes, and what has changed since the one before.

import { html } from '../vendor/lit-html/lit-html.js';
import { number, plain } from './text.js';

/** Characters that are shown at first, and lines of a change. */
const SHOWN = 20000;
const LINES = 300;

/** JSON in lines, its tokens as they were: a number keeps its digits. @param {string} text */
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

const hex = (/** @type {string} */ bytes) =>
  bytes.replace(/[^]{1,8}/g, (row, at) => {
    const codes = [...row].map((c) => c.charCodeAt(0).toString(16).padStart(2, '0')).join(' ');
    return `${at.toString(16).padStart(5, '0')} ${codes.padEnd(23)} ${row.replace(/[^ -~]/g, '·')}\n`;
  });

/** A value as JSON if it is that, as text if it is that, or in bytes. @param {any} value @param {string} as '', text or hex */
export function form(value, as) {
  value.forms ??= {};
  if (as === 'hex' || value.payload === null) return (value.forms.hex ??= hex(atob(value.payload_base64)));
  try {
    return as ? value.payload : (value.forms.json ??= pretty(value.payload));
  } catch {
    return (value.forms.json = value.payload);
  }
}

const visible = (/** @type {string} */ text) => text.replace(/[^\n\t]+/g, plain);

/** A text, at first its beginning. @param {string} text @param {boolean} all @param {() => void} showAll */
export const block = (text, all, showAll) => html`<pre class="payload" tabindex="0">${visible(all ? text : text.slice(0, SHOWN))}</pre>
  ${all || text.length <= SHOWN ? '' : html`<p class="small">The first ${number(SHOWN)} of ${number(text.length)} characters. <button @click=${showAll}>Show all</button></p>`}`;

/** From one text to the next: line by line where there are as many as before. @param {string} before @param {string} after */
export function diff(before, after) {
  const [a, b] = [before.split('\n'), after.split('\n')];
  let start = 0;
  while (start < a.length && a[start] === b[start]) start += 1;
  let end = 0;
  while (end < Math.min(a.length, b.length) - start && a.at(-1 - end) === b.at(-1 - end)) end += 1;
  const [old, now] = [a.slice(start, a.length - end), b.slice(start, b.length - end)];
  const all = (/** @type {string} */ mark, /** @type {string[]} */ lines) => lines.map((line) => mark + line);
  const lines = [
    ...all('  ', a.slice(Math.max(0, start - 2), start)),
    ...(old.length === now.length
      ? old.flatMap((line, at) => (line === now[at] ? [`  ${line}`] : [`− ${line}`, `+ ${now[at]}`]))
      : [...all('− ', old), ...all('+ ', now)]),
    ...all('  ', a.slice(a.length - end, a.length - end + 2)),
  ];
  return html`<pre class="payload" tabindex="0">${lines.slice(0, LINES).map((line) => {
    const text = `${visible(line.slice(0, 500))}\n`;
    return line[0] === '+' ? html`<ins>${text}</ins>` : line[0] === '−' ? html`<del>${text}</del>` : text;
  })}${lines.length > LINES ? `… ${number(lines.length - LINES)} lines more` : ''}</pre>`;
}
