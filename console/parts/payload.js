// @ts-check
// Payloads and the bytes of packets.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { bytes as size, plain } from './text.js';

export const VIEWS = /** @type {[string, string][]} */ ([['', 'JSON'], ['text', 'Text'], ['hex', 'Hex']]);

/** @param {string} base64 */
export const unpacked = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));

const hex = (/** @type {number} */ byte) => byte.toString(16).padStart(2, '0');
const ascii = (/** @type {number} */ byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : '·');

/** Text with its hidden characters named, but for those that part lines and columns; else bytes. @param {Uint8Array} bytes @param {string | null} view one of `VIEWS` */
function written(bytes, view) {
  try {
    if (view === 'hex') throw 0;
    let text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    // What has room in a line stays in one.
    if (!view && text.length > 90 && /^\s*[{[]/.test(text)) {
      try {
        text = JSON.stringify(JSON.parse(text), null, 1);
      } catch {}
    }
    return text.replace(/[^\n\t]+/g, plain);
  } catch {
    return Array.from(bytes, hex).join(' ');
  }
}

/** @param {Uint8Array} bytes @param {string | null} view @param {number} whole its size: there may be only a part */
export const payload = (bytes, view, whole) => html`<pre>${written(bytes, view) || 'empty'}</pre>
  ${whole > bytes.length ? html`<p class="small">The first ${size(bytes.length)} of ${size(whole)}.</p>` : nothing}`;

/** Bytes in lines of 16, some of them marked, some kept secret. @param {Uint8Array} bytes @param {(at: number) => string} mark the class of a byte @param {(at: number) => boolean} secret */
export const dump = (bytes, mark, secret) =>
  Array.from({ length: Math.ceil(bytes.length / 16) }, (_, line) => {
    const cells = (/** @type {(byte: number) => string} */ show) =>
      Array.from(bytes.subarray(line * 16, line * 16 + 16), (byte, place) => {
        const at = line * 16 + place;
        return html`<i data-at=${at} class=${mark(at)}>${show(secret(at) ? 42 : byte)}</i>`;
      });
    return html`<div><code>${(line * 16).toString(16).padStart(4, '0')}</code><span>${cells(hex)}</span><span>${cells(ascii)}</span></div>`;
  });
