// What is made to go wrong on purpose, and the clock.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { get, path, post, remove } from '../api.js';
import { state } from '../store.js';
import { Ask, copyable, pairs, panel, shown, table, watch } from '../parts/list.js';
import { failure, moment, name, number, plain, plural, time } from '../parts/text.js';

const SHOWN = 20;

const packet = ({ packet, client, direction, rule }) =>
  html`<li>${packet?.type} ${packet?.packet_id} ${direction}, ${name(client ?? '', 24)} ${name(packet?.topic ?? '')} <small>by ${name(rule, 24)}</small></li>`;
const cut = (total) => (total > SHOWN ? html`<p class="small">The first ${SHOWN} are listed.</p>` : nothing);
const deadline = ({ kind, client_id: id }) => html`${kind.replaceAll('_', ' ')}${id === null ? '' : html` of ${name(id, 32)}`}`;

export function open(changed, route) {
  const all = ['rules', `held?limit=${SHOWN}`, 'clock', `deadlines?limit=${SHOWN}`].map((what) => watch(() => `/v1/${what}`, changed, { stats: 1000 }));
  const [headAsk, rulesAsk, heldAsk, clockAsk] = all.map(() => new Ask(changed));
  /** @type {unknown} */ let said = nothing;
  const say = (what) => {
    said = what;
    for (const one of all) one.update();
    changed();
  };
  /** Waits until it is done, and says what the API says of it. */
  const tell = async (what, answer) => {
    const facts = Object.entries(await answer).map(([key, value]) => `${key.replaceAll('_', ' ')} ${plain(String(value))}`);
    say(html`<p class="note" role="status">${what}: ${facts.join(', ')}</p>`);
  };
  /** A button that asks, and one that does not. */
  const button = (ask, verb, what, run) =>
    html`<button ?data-row=${verb === 'Remove'} @click=${(event) => ask.ask(event, html`<div>${what}</div>`, verb, (form) => tell(verb, run(form)))}>${verb} …</button>`;
  const direct = (verb, to, body) => html`<button @click=${() => tell(verb, post(to, body)).catch((error) => say(failure(error)))}>${verb}</button>`;
  const removal = (verb, what, to) => button(rulesAsk, verb, html`Remove ${what}. What is held stays held.`, () => remove(to));
  const head = ({ clients_connected, sessions, retained, faults }) => {
    const clients = plural(clients_connected, 'connection');
    return html`${button(headAsk, 'Outage', html`<label>Lose ${clients} without DISCONNECT, with the wills, and turn away new ones for
        <input type="number" name="seconds" value="10" step="any" /> s of the broker's clock</label>`,
      (form) => post('/v1/outage', { seconds: Number(form.seconds.value) }))}
      ${faults.outage_s === null ? nothing : direct('End the outage', '/v1/outage', { seconds: 0 })}
      ${button(headAsk, 'Reset', html`End ${clients} and ${plural(sessions, 'session')} without wills, and forget
        ${plural(retained, 'retained message')} and all else but registry, certificates and clock.`, () => post('/v1/reset'))}`;
  };

  const rules = ({ rules }) => rules.length
    ? html`${table(rules, [
        ['Name', (rule) => name(rule.name, 24)],
        ['What it does', (rule) => name(rule.text, 999), 'wrap'],
        ['Hits', ({ hits, times }) => `${number(hits)}${times === null ? '' : ` of ${number(times)}`}`],
        ['Expires in', ({ expires_in_s: left }) => (left === null ? '' : time(left))],
        ['Remove', (rule) => removal('Remove', name(rule.name), path('/v1/rules', rule.id)), 'n'],
      ])}<p class="row">${removal('Remove all', plural(rules.length, 'rule'), '/v1/rules')}</p>`
    : html`<p class="count">No rule is armed: every packet goes as it is.</p>`;

  const held = ({ held, total }) => total
    ? panel(`${plural(total, 'packet')} held`, html`<ol>${held.map(packet)}</ol>
        ${cut(total)}
        <p class="row">${direct('Release next', '/v1/held/release?n=1')} ${direct('Release all', '/v1/held/release')}
          ${button(heldAsk, 'Discard all', html`${plural(total, 'packet')} will never arrive.`, () => post('/v1/held/discard'))}</p>
        ${heldAsk.view()}`)
    : nothing;

  /** Asks with what the clock will fire. */
  async function advance(event) {
    event.preventDefault();
    const { target, submitter } = event;
    const keep_alive = target.keep_alive.checked;
    const found = (await get(`/v1/deadlines?limit=1000`)).deadlines.filter((one) => keep_alive || one.kind !== 'connection');
    const next = Math.ceil((found[0]?.in_seconds ?? 0) * 1000 + 1) / 1000;
    const seconds = submitter.value === 'next' ? next : Number(submitter.value || target.by.value);
    const due = found.filter((one) => one.in_seconds <= seconds);
    const what = html`Forward by ${time(seconds)}, past ${plural(due.length, 'deadline')}${due.length < 1000 ? '' : ' or more'}
      <ul>${due.slice(0, SHOWN).map((one) => html`<li>${deadline(one)}</li>`)}</ul>
      ${due.length > SHOWN ? `and ${number(due.length - SHOWN)} more` : ''}`;
    clockAsk.ask({ currentTarget: submitter }, html`<div>${what}</div>`, 'Advance', () => tell('Advance', post('/v1/clock/advance', { seconds, keep_alive })));
  }
  const clock = ({ now, ahead_seconds: ahead, scale }) => html`<p><time title=${now}>${new Date(now).toLocaleDateString()} ${moment(Date.parse(now))}</time>
      <span class="count">${ahead < 0.001 ? 'as this machine' : `${time(ahead)} ahead`}${scale === 1 ? '' : `, × ${scale}`}</span></p>
    <form class="row" novalidate @submit=${(event) => advance(event).catch((error) => say(failure(error)))}>
      <input type="number" name="by" placeholder="seconds" /><button>Advance</button>
      ${Object.entries({ 1: '1 s', 60: '1 min', 3600: '1 h', next: 'Next deadline' }).map(([by, title]) => html`<button value=${by}>${title}</button>`)}
      <label><input type="checkbox" name="keep_alive" /> Keep Alive, too</label></form>
    ${clockAsk.view()}`;
  const deadlines = ({ deadlines: next, total }) => html`<h3>${plural(total, 'deadline')}</h3>
    ${pairs(next.map((one) => [time(one.in_seconds), deadline(one)]))} ${cut(total)}`;

  const arm = armForm(changed, route, (rule) => tell('Armed', { rule: rule.name }));
  return {
    title: 'Faults and clock',
    cancel: () => [headAsk, rulesAsk, heldAsk, clockAsk].some((ask) => ask.cancel()),
    close() {
      for (const one of all) one.close();
    },
    view: () => html`<div class="head"><h1>Faults and clock</h1><span class="buttons">${state.stats ? head(state.stats) : nothing}</span></div>
      ${headAsk.view()} ${said}
      ${panel('Rules', shown(all[0].asked, rules), rulesAsk.view())}
      <div class="columns">
        <div>${shown(all[1].asked, held)} ${arm()}</div>
        ${panel('Clock', shown(all[2].asked, clock), shown(all[3].asked, deadlines))}
      </div>`,
  };
}

/** What can be done, and what only this needs to know. */
const ACTIONS = {
  drop: '', delay: 'delay_seconds', hold: '', duplicate: '', reorder: '', corrupt: 'offset bits', disconnect: 'reason when', close: 'when',
  reset: 'when', half_close: 'when', stop_reading: '', mute_pings: '', connack: 'reason session_present receive_maximum maximum_qos server_keep_alive',
};
const CHOICES = {
  do: Object.keys(ACTIONS).join(' '),
  type: 'PUBLISH any CONNECT CONNACK PUBACK PUBREC PUBREL PUBCOMP SUBSCRIBE SUBACK UNSUBSCRIBE UNSUBACK PINGREQ PINGRESP DISCONNECT AUTH',
  direction: 'any in out', qos: 'any 0 1 2', when: 'before after', session_present: 'any false true',
};
const DEFAULTS = { do: 'drop', type: 'PUBLISH', delay_seconds: '5' };

/** The form that arms a rule, in the words of the API. What is filled in stands in the query of the page. */
function armForm(changed, route, armed) {
  /** What was written by hand. @type {any} */ let written = null;
  /** @type {any} */ let error = null;
  const read = (field) => route.query.get(field) || DEFAULTS[field] || '';
  /** The rule that the fields say. */
  function ruleOf(action, fields) {
    /** @type {any} */ const set = { properties: {} };
    const isConnack = action === 'connack';
    /** @type {any} */ const rule = isConnack ? { match: { type: 'CONNACK' }, do: 'replace', set } : { match: {}, do: action };
    for (const field of fields) {
      const value = read(field);
      const isMatch = /^(type|direction|client|topic|qos|nth)$/.test(field);
      const into = isMatch ? rule.match : /maximum|server/.test(field) ? set.properties : isConnack && /reason|session/.test(field) ? set : rule;
      const isText = /client|topic|name/.test(field) || !/^(\d+(\.\d+)?|true|false)$/.test(value);
      if (value && value !== 'any') into[field] = isText ? value : JSON.parse(value);
    }
    return rule;
  }
  const write = (text) => {
    written = text;
    error = null;
    changed();
  };
  const put = ({ target }) => {
    route.set({ [target.name]: target.value });
    error = null;
  };
  const send = async (event, text) => {
    event.preventDefault();
    error = null;
    try {
      armed(await post('/v1/rules', JSON.parse(text)));
    } catch (thrown) {
      error = thrown;
    }
    changed();
  };
  const input = (field) => CHOICES[field]
    ? html`<select name=${field} @change=${put}>${CHOICES[field].split(' ').map((one) => html`<option .selected=${one === read(field)}>${one}</option>`)}</select>`
    : html`<input name=${field} .value=${route.query.get(field) ?? ''} placeholder=${read(field)} @input=${put} />`;

  return () => {
    const action = read('do') in ACTIONS ? read('do') : 'drop';
    const packet = /connack|mute_pings/.test(action) ? '' : 'type direction';
    const fields = `${packet} client topic qos nth ${ACTIONS[action]} times expires_after_seconds name`.trim().split(/ +/);
    const text = written ?? JSON.stringify(ruleOf(action, fields));
    const wrong = error?.field?.split('.').at(-1);
    return html`<form class="panel" @submit=${(event) => send(event, text)}>
      <h2>Make something fail</h2>
      <fieldset class="fields" ?disabled=${written !== null}>${['do', ...fields].map((field) => html`<label>${field.replaceAll('_', ' ')}
        ${input(field)} ${wrong === field ? html`<em role="alert">${error.message}</em>` : nothing}</label>`)}</fieldset>
      <label class="small">The rule as it is sent <textarea rows="2" spellcheck="false" .value=${text} @input=${({ target }) => write(target.value)}></textarea></label>
      ${error && !fields.includes(wrong) ? failure(error) : nothing}
      <p class="row"><button class="primary">Arm</button> ${written === null ? nothing : html`<button type="button" @click=${() => write(null)}>Back to the fields</button>`}</p>
      ${copyable(`curl -s ${location.origin}/v1/rules -H 'content-type: application/json' -d '${text.replaceAll("'", "'\\''")}'`)}
    </form>`;
  };
}
