// @ts-check
// A question in the place where a button was: what is about to be done, and to whom.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { failure } from './text.js';

export class Ask {
  /** @param {() => void} changed */
  constructor(changed) {
    this.changed = changed;
    /** @type {{ what: any, verb: string, run: (form: HTMLFormElement) => Promise<any>, done: () => void } | null} */
    this.open = null;
    /** @type {any} */ this.error = null;
    this.busy = false;
    /** @type {HTMLElement | null} */ this.opener = null;
  }

  /**
   * @param {Event} event @param {any} what the question, and fields if there are any @param {string} verb
   * @param {(form: HTMLFormElement) => Promise<any>} run @param {() => void} [done]
   */
  ask(event, what, verb, run, done = () => {}) {
    this.opener = /** @type {HTMLElement} */ (event.currentTarget);
    this.open = { what, verb, run, done };
    this.error = null;
    this.changed();
    requestAnimationFrame(() =>
      /** @type {HTMLElement | null} */ (document.querySelector('.ask select, .ask button'))?.focus(),
    );
  }

  /** Whether there was a question to send away. */
  cancel() {
    const was = this.open !== null;
    this.open = null;
    this.changed();
    if (was) this.opener?.focus();
    return was;
  }

  view() {
    const { open } = this;
    if (!open) return nothing;
    const submit = async (/** @type {Event} */ event) => {
      event.preventDefault();
      this.busy = true;
      try {
        await open.run(/** @type {HTMLFormElement} */ (event.target));
        this.open = null;
        open.done();
      } catch (error) {
        this.error = error;
      }
      this.busy = false;
      this.changed();
    };
    return html`<form class="ask" @submit=${submit}>
      ${open.what}
      <button class="danger" ?disabled=${this.busy}>${open.verb}</button>
      <button type="button" @click=${() => this.cancel()}>Cancel</button>
      ${this.error ? failure(this.error) : nothing}
    </form>`;
  }
}
