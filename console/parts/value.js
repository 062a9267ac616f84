// @ts-check
// What a message carries, as JSON, text or bytes, and what has changed since the one before.

import { html } from '../vendor/lit-html/lit-html.js';
import { number, plain } from './text.js';

/** Characters that are shown at first. */
const SHOWN = 20000;
/** Lines that are compared one with the other. */
const LINES = 400;

/** JSON in lines, its values untouched: a number keeps its digits. `null`: it is none. @param {string} text */
function pretty(text) {
  try {
    JSON.parse(text);
  } catch {
    return null;
  }
  let depth = 0;
  const line = () => `\n${'  '.repeat(Math.min(depth, 40))}`;
  const parts = text.match(/"(?:[^"\\]|\\.)*"|[[\]{},:]|[^\s[\]{},:"]+/g) ?? [];
  return parts
    .map((part, at) => {
      if (part === '{' || part === '[') {
        depth += 1;
        return '}]'.includes(parts[at + 1]) ? part : part + line();
      }
      if (part === '}' || part === ']') {
        depth -= 1;
        return '{['.includes(parts[at - 1]) ? part : line() + part;
      }
      return part === ',' ? part + line() : part === ':' ? ': ' : part;
    })
    .join('');
}

/** @param {any} value */
function hex(value) {
  const bytes = atob(value.payload_base64);
  const lines = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = [...bytes.slice(at, at + 16)];
    const codes = row.map((c) => c.charCodeAt(0).toString(16).padStart(2, '0')).join(' ');
    lines.push(`${at.toString(16).padStart(5, '0')}  ${codes.padEnd(47)}  ${row.map((c) => (/[ -~]/.test(c) ? c : '·')).join('')}`);
  }
  return lines.join('\n');
}

/** @type {WeakMap<any, Record<string, string>>} */
const known = new WeakMap();

/** A value as `text`, `hex`, or in the best of all forms. @param {any} value @param {string} as */
export function form(value, as) {
  const forms = known.get(value) ?? {};
  known.set(value, forms);
  forms[as] ??= as === 'hex' || value.payload === null ? hex(value) : ((as === 'text' ? null : pretty(value.payload)) ?? value.payload);
  return forms[as];
}

/** A text in its lines, whatever it hides. @param {string} text */
const visible = (text) => text.replace(/[^\n\t]+/g, plain);

/** A text, first of all its beginning. @param {string} text @param {boolean} all @param {() => void} showAll */
export const block = (text, all, showAll) => html`<pre class="payload" tabindex="0">${visible(all ? text : text.slice(0, SHOWN))}</pre>
  ${all || text.length <= SHOWN ? '' : html`<p class="small">The first ${number(SHOWN)} of ${number(text.length)} characters. <button @click=${showAll}>Show all</button></p>`}`;

/** What has changed from one text to the next, line by line, with two lines around it. @param {string} before @param {string} after */
export function diff(before, after) {
  const [a, b] = [before.split('\n'), after.split('\n')];
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start += 1;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end += 1;
  const [old, now] = [a.slice(start, a.length - end), b.slice(start, b.length - end)];
  /** @type {[string, string][]} */ const lines = a.slice(Math.max(0, start - 2), start).map((line) => [' ', line]);
  // How many lines are the same from here on.
  const same = Array.from({ length: old.length + 1 }, () => new Uint16Array(now.length <= LINES ? now.length + 1 : 0));
  const isSmall = old.length <= LINES && now.length <= LINES;
  for (let i = old.length - 1; isSmall && i >= 0; i -= 1)
    for (let j = now.length - 1; j >= 0; j -= 1) same[i][j] = old[i] === now[j] ? same[i + 1][j + 1] + 1 : Math.max(same[i + 1][j], same[i][j + 1]);
  let [i, j] = [0, 0];
  while (i < old.length || j < now.length) {
    if (isSmall && i < old.length && j < now.length && old[i] === now[j]) {
      lines.push([' ', old[i]]);
      i += 1;
      j += 1;
    } else if (i < old.length && (!isSmall || j >= now.length || same[i + 1][j] >= same[i][j + 1])) lines.push(['−', old[i++]]);
    else lines.push(['+', now[j++]]);
  }
  lines.push(.../** @type {[string, string][]} */ (b.slice(b.length - end, b.length - end + 2).map((line) => [' ', line])));
  const shown = lines.slice(0, LINES);
  return html`<pre class="payload diff" tabindex="0">${shown.map(([mark, line]) => {
    const text = `${mark} ${visible(line.slice(0, 2000))}\n`;
    return mark === '+' ? html`<ins>${text}</ins>` : mark === '−' ? html`<del>${text}</del>` : text;
  })}</pre>
    ${shown.length < lines.length ? html`<p class="small">${number(lines.length - shown.length)} lines more.</p>` : ''}`;
}
