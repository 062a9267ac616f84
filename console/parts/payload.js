// @ts-check
// Payloads and the bytes of packets.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { bytes as size, plain } from './text.js';

/** @type {[string, string][]} */
export const VIEWS = [['', 'JSON'], ['text', 'Text'], ['hex', 'Hex']];

/** @param {string} base64 */
export const unpacked = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));

/** @param {number} byte */
const hex = (byte) => byte.toString(16).padStart(2, '0');
/** @param {number} byte */
const ascii = (byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : '·');

/** Text with its hidden characters named, but for line ends and tabs; else bytes. @param {Uint8Array} bytes @param {string | null} view */
function written(bytes, view) {
  try {
    if (view === 'hex') throw view;
    let text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    try {
      // What has room in a line stays in one.
      if (!view && text.length > 90) text = JSON.stringify(JSON.parse(text), null, 1);
    } catch {}
    return text.replace(/[^\n\t]+/g, plain);
  } catch {
    return Array.from(bytes, hex).join(' ');
  }
}

/** @param {Uint8Array} bytes @param {string | null} view one of `VIEWS` @param {number} whole its size: there may be only a part */
export const payload = (bytes, view, whole) => html`<pre>${written(bytes, view) || 'empty'}</pre>
  ${whole > bytes.length ? html`<p class="small">The first ${size(bytes.length)} of ${size(whole)}.</p>` : nothing}`;

/** Bytes in lines of 16. @param {Uint8Array} bytes @param {(at: number) => string} mark the class of a byte @param {(at: number) => boolean} secret */
export const dump = (bytes, mark, secret) =>
  Array.from({ length: Math.ceil(bytes.length / 16) }, (_, line) => {
    /** @param {(byte: number) => string} show */
    const cells = (show) =>
      Array.from(bytes.subarray(line * 16, line * 16 + 16), (byte, place) => {
        const at = line * 16 + place;
        return html`<i data-at=${at} class=${mark(at)}>${show(secret(at) ? 42 : byte)}</i>`;
      });
    return html`<div><code>${hex(line >> 4)}${hex((line & 15) << 4)}</code><span>${cells(hex)}</span><span>${cells(ascii)}</span></div>`;
  });
