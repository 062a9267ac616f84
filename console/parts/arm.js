// @ts-check
// The form that arms a packet rule, in the words of the API. What is filled in stands in the query of the page.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { post } from '../api.js';
import { copyable } from './commands.js';
import { failure } from './text.js';

/** What can be done, and what only this needs to know. @type {Record<string, string>} */
const ACTIONS = {
  drop: '', delay: 'delay_seconds', hold: '', duplicate: '', reorder: '', corrupt: 'offset bits', disconnect: 'reason when', close: 'when',
  reset: 'when', half_close: 'when', stop_reading: '', mute_pings: '', connack: 'reason session_present receive_maximum maximum_qos server_keep_alive',
};
const PACKET = 'type direction';
const MATCH = 'client topic qos nth';
/** @type {Record<string, string>} */
const CHOICES = {
  type: 'PUBLISH any CONNECT CONNACK PUBACK PUBREC PUBREL PUBCOMP SUBSCRIBE SUBACK UNSUBSCRIBE UNSUBACK PINGREQ PINGRESP DISCONNECT AUTH',
  direction: 'any in out', qos: 'any 0 1 2', when: 'before after', session_present: 'any false true',
};
/** @type {Record<string, string>} */
const TITLES = { in: 'from clients', out: 'to clients', connack: 'change CONNACK', mute_pings: 'answer no PINGREQ', reset: 'reset (RST)' };

export class Arm {
  /** @param {() => void} changed @param {any} route @param {(rule: any) => void} armed */
  constructor(changed, route, armed) {
    this.changed = changed;
    this.route = route;
    this.armed = armed;
    /** what was written by hand @type {string | null} */ this.text = null;
    /** @type {any} */ this.error = null;
  }

  /** @param {string} field */
  read(field) {
    return this.route.query.get(field) || { do: 'drop', type: 'PUBLISH', delay_seconds: '5' }[field] || '';
  }

  view() {
    const { route, error, changed } = this;
    const asked = this.read('do');
    const action = asked in ACTIONS ? asked : 'drop';
    const isConnack = action === 'connack';
    const fields = `${isConnack || action === 'mute_pings' ? '' : PACKET} ${MATCH} ${ACTIONS[action]} times expires_after_seconds name`.trim().split(/ +/);
    /** @type {any} */ const set = { properties: {} };
    /** @type {any} */ const rule = isConnack ? { match: { type: 'CONNACK' }, do: 'replace', set } : { match: {}, do: action };
    for (const field of fields) {
      const value = this.read(field);
      const of = isConnack && ACTIONS.connack.includes(field) ? (/^(reason|session)/.test(field) ? set : set.properties) : rule;
      const into = `${PACKET} ${MATCH}`.includes(field) ? rule.match : of;
      if (value && value !== 'any') into[field] = /client|topic|name/.test(field) || !/^(\d+(\.\d+)?|true|false)$/.test(value) ? value : JSON.parse(value);
    }
    const text = this.text ?? JSON.stringify(rule);
    const wrong = error?.field?.split('.').at(-1);
    const write = (/** @type {string | null} */ written) => {
      this.text = written;
      this.error = null;
      changed();
    };
    const put = (/** @type {any} */ { target }) => {
      this.error = null;
      route.set({ [target.name]: target.value });
    };
    const select = (/** @type {string} */ field, /** @type {string[]} */ all, chosen = this.read(field)) =>
      html`<select name=${field} @change=${put}>${all.map((one) => html`<option value=${one} .selected=${one === chosen}>${TITLES[one] ?? one}</option>`)}</select>`;
    const submit = async (/** @type {Event} */ event) => {
      event.preventDefault();
      this.error = null;
      try {
        this.armed(await post('/v1/rules', JSON.parse(text)));
      } catch (error) {
        this.error = error;
      }
      changed();
    };
    return html`<form class="panel" @submit=${submit}>
      <h2>Make something fail</h2>
      <fieldset class="fields" ?disabled=${this.text !== null}>
        <label>do ${select('do', Object.keys(ACTIONS), action)}</label>
        ${fields.map(
          (field) => html`<label>${field.replaceAll('_', ' ')}
            ${CHOICES[field] ? select(field, CHOICES[field].split(' ')) : html`<input type="text" name=${field} .value=${route.query.get(field) ?? ''} placeholder=${this.read(field)} @input=${put} />`}
            ${wrong === field ? html`<em role="alert">${error.message}</em>` : nothing}</label>`,
        )}
      </fieldset>
      <label class="small">The rule as it is sent
        <textarea rows="2" spellcheck="false" .value=${text} @input=${(/** @type {any} */ event) => write(event.target.value)}></textarea></label>
      ${error && !fields.includes(wrong) ? failure(error) : nothing}
      <p class="row"><button class="primary">Arm</button> ${this.text === null ? nothing : html`<button type="button" @click=${() => write(null)}>Back to the fields</button>`}</p>
      ${copyable(`curl -s ${location.origin}/v1/rules -H 'content-type: application/json' -d '${text.replaceAll("'", "'\\''")}'`)}
    </form>`;
  }
}
