// @ts-check
// The list of keys.

import { html, render } from '../vendor/lit-html/lit-html.js';
import { areOn, KEYS, switchKeys } from './keys.js';

/** Shows the keys until they are sent away. */
export function showHelp() {
  const layer = /** @type {HTMLElement} */ (document.getElementById('layer'));
  const close = () => /** @type {HTMLDialogElement | null} */ (layer.querySelector('dialog'))?.close();
  render(
    html`<dialog aria-labelledby="keys" @close=${() => render(html``, layer)}>
      <h2 id="keys">Keys</h2>
      <dl class="keys">
        ${KEYS.map(([keys, what]) => html`<div><dt><kbd>${keys}</kbd></dt><dd>${what}</dd></div>`)}
      </dl>
      <label class="check"
        ><input
          type="checkbox"
          ?checked=${areOn()}
          @change=${(/** @type {any} */ event) => switchKeys(event.target.checked)}
        />
        Single letters are keys</label
      >
      <p><button @click=${close}>Close</button></p>
    </dialog>`,
    layer,
  );
  /** @type {HTMLDialogElement | null} */ (layer.querySelector('dialog'))?.showModal();
}
