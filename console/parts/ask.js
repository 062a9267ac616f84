// @ts-check
// A question in the place where a button was: what is about to be done, and to whom.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { failure } from './text.js';

export class Ask {
  /** @type {any} */ open = null;
  /** @type {any} */ error = null;
  busy = false;

  constructor(changed) {
    this.changed = changed;
  }

  /** `what` is the question, with fields if there are any; `run` gets the form. @param {any} event @param {any} what @param {string} verb */
  ask(event, what, verb, run, done = () => {}) {
    this.open = { what, verb, run, done, opener: event.currentTarget };
    this.error = null;
    this.changed();
    requestAnimationFrame(() => /** @type {any} */ (document.querySelector('.ask select, .ask button'))?.focus());
  }

  /** Whether there was a question to send away. */
  cancel() {
    const { open } = this;
    this.open = null;
    this.changed();
    open?.opener.focus();
    return !!open;
  }

  async submit(event, { run, done }) {
    event.preventDefault();
    this.busy = true;
    try {
      await run(event.target);
      this.open = null;
      done();
    } catch (error) {
      this.error = error;
    }
    this.busy = false;
    this.changed();
  }

  view() {
    const { open } = this;
    if (!open) return nothing;
    return html`<form class="ask" @submit=${(event) => this.submit(event, open)}>
      ${open.what} <button class="danger" ?disabled=${this.busy}>${open.verb}</button>
      <button type="button" @click=${() => this.cancel()}>Cancel</button>
      ${this.error ? failure(this.error) : nothing}
    </form>`;
  }
}
