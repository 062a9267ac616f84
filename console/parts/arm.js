// @ts-check
// The form that arms a packet rule, in the words of the API. What is filled in stands in the query of the page.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { post } from '../api.js';
import { copyable } from './commands.js';
import { failure } from './text.js';

/** What can be done, and what only this needs to know. @type {Record<string, string>} */
const ACTIONS = {
  drop: '', delay: 'delay_seconds', hold: '', duplicate: '', reorder: '', corrupt: 'offset bits', disconnect: 'reason when',
  close: 'when', reset: 'when', half_close: 'when', stop_reading: '', mute_pings: '',
  connack: 'reason session_present receive_maximum maximum_qos server_keep_alive',
};
const MATCH = 'client topic qos nth';
/** @type {Record<string, string>} */
const CHOICES = {
  type: 'PUBLISH any CONNECT CONNACK PUBACK PUBREC PUBREL PUBCOMP SUBSCRIBE SUBACK UNSUBSCRIBE UNSUBACK PINGREQ PINGRESP DISCONNECT AUTH',
  direction: 'any in out', qos: 'any 0 1 2', when: 'before after', session_present: 'any false true',
};
/** @type {Record<string, string>} */
const TITLES = { in: 'in: from clients', out: 'out: to clients', connack: 'change CONNACK', mute_pings: 'answer no PINGREQ', reset: 'reset (RST)' };
const TEXTS = 'client topic name reason';

/** @param {string} action */
const fieldsOf = (action) =>
  `${/connack|mute/.test(action) ? '' : 'type direction '}${MATCH} ${ACTIONS[action]} times expires_after_seconds name`.split(/ +/);

/** @param {string} action @param {(field: string) => string} read */
function rule(action, read) {
  const isConnack = action === 'connack';
  /** @type {any} */
  const made = { match: {}, do: action, ...(isConnack && { match: { type: 'CONNACK' }, do: 'replace', set: { properties: {} } }) };
  for (const field of fieldsOf(action)) {
    const text = read(field);
    if (!text || text === 'any') continue;
    const value = !TEXTS.includes(field) && /^(\d+(\.\d+)?|true|false)$/.test(text) ? JSON.parse(text) : text;
    const isMatch = `type direction ${MATCH}`.includes(field);
    const isSet = isConnack && ACTIONS.connack.includes(field);
    const into = isMatch ? made.match : !isSet ? made : /reason|session/.test(field) ? made.set : made.set.properties;
    into[field] = value;
  }
  return made;
}

export class Arm {
  /** @param {() => void} changed @param {any} route @param {(rule: any) => void} armed */
  constructor(changed, route, armed) {
    this.changed = changed;
    this.route = route;
    this.armed = armed;
    /** what was written by hand @type {string | null} */ this.text = null;
    /** @type {any} */ this.error = null;
  }

  view() {
    const { route, error } = this;
    const asked = route.query.get('do') ?? '';
    const action = asked in ACTIONS ? asked : 'drop';
    const read = (/** @type {string} */ field) => route.query.get(field) || { type: 'PUBLISH', delay_seconds: '5' }[field] || '';
    const text = this.text ?? JSON.stringify(rule(action, read));
    const fields = fieldsOf(action);
    const wrong = error?.field?.split('.').at(-1);
    const put = (/** @type {any} */ { target }) => {
      this.error = null;
      route.set({ [target.name]: target.value });
    };
    const select = (/** @type {string} */ field, /** @type {string[]} */ all, value = read(field)) =>
      html`<select name=${field} @change=${put}>${all.map((one) => html`<option value=${one} .selected=${one === value}>${TITLES[one] ?? one}</option>`)}</select>`;
    const write = (/** @type {string | null} */ written) => {
      this.text = written;
      this.error = null;
      this.changed();
    };
    const submit = async (/** @type {Event} */ event) => {
      event.preventDefault();
      this.error = null;
      try {
        this.armed(await post('/v1/rules', JSON.parse(text)));
      } catch (error) {
        this.error = error;
      }
      this.changed();
    };
    return html`<form class="panel" @submit=${submit}>
      <h2>Make something fail</h2>
      <fieldset class="fields" ?disabled=${this.text !== null}>
        <label>do ${select('do', Object.keys(ACTIONS), action)}</label>
        ${fields.map((field) => html`<label>${field.replaceAll('_', ' ')}
          ${CHOICES[field] ? select(field, CHOICES[field].split(' ')) : html`<input type="text" name=${field} .value=${route.query.get(field) ?? ''} placeholder=${read(field)} @input=${put} />`}
          ${wrong === field ? html`<em role="alert">${error.message}</em>` : nothing}</label>`)}
      </fieldset>
      <label class="small">The rule as it is sent
        <textarea rows="2" spellcheck="false" .value=${text} @input=${(/** @type {any} */ event) => write(event.target.value)}></textarea></label>
      ${error && !fields.includes(wrong) ? failure(error) : nothing}
      <p class="row"><button class="primary">Arm</button> ${this.text === null ? nothing : html`<button type="button" @click=${() => write(null)}>Back to the fields</button>`}</p>
      ${copyable(`curl -s ${location.origin}/v1/rules -H 'content-type: application/json' -d '${text.replaceAll("'", "'\\''")}'`)}
    </form>`;
  }
}
