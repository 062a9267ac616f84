// @ts-check
// What is made to go wrong on purpose, and the clock.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { get, path, post, remove, Resource } from '../api.js';
import { on, state } from '../store.js';
import { Arm } from '../parts/arm.js';
import { Ask } from '../parts/ask.js';
import { shown } from '../parts/list.js';
import { failure, moment, name, number, plain, plural, time } from '../parts/text.js';

const SHOWN = 20;
const MOST = 1000;
const STAYS = 'What is held stays held.';

/** @param {() => void} changed @param {any} route */
export function open(changed, route) {
  const all = ['rules', `held?limit=${SHOWN}`, 'clock', `deadlines?limit=${SHOWN}`].map((what) => new Resource(() => `/v1/${what}`, changed));
  const [rules, held, clock, deadlines] = all;
  const ask = new Ask(changed);
  let where = '';
  /** @type {unknown} */ let said = nothing;
  const say = (/** @type {unknown} */ what) => {
    said = what;
    for (const one of all) one.refresh();
    changed();
  };
  const fail = (/** @type {any} */ error) => say(failure(error));
  const arm = new Arm(changed, route, (rule) => tell('Armed', Promise.resolve({ rule: rule.name })));
  say(nothing);
  const off = on((topic) => {
    if (topic !== 'stats' && topic !== 'restarted') return;
    for (const one of all) one.soon(one === deadlines && state.stats.sessions > 2000 ? 10000 : 1000);
  });

  /** Does it, and says what the API says of it. @param {string} what @param {Promise<any>} answer */
  const tell = async (what, answer) =>
    say(html`<p class="note" role="status">${what}: ${Object.entries(await answer).map(([key, value]) => html`<span class="chip">${key.replaceAll('_', ' ')} ${name(String(value))}</span> `)}</p>`);
  /** A button that asks. @param {string} place @param {string} verb @param {() => unknown} what @param {(form: any) => Promise<any>} run */
  const button = (place, verb, what, run) => html`<button @click=${(/** @type {Event} */ event) => {
    where = place;
    ask.ask(event, what(), verb, (form) => tell(verb, run(form)));
  }} ?data-row=${verb === 'Remove'}>${verb} …</button>`;
  const asked = (/** @type {string} */ place) => (where === place ? ask.view() : nothing);

  /** @param {any} stats */
  const head = ({ clients_connected: clients, sessions, retained, faults }) => html`${button(
      'head',
      'Outage',
      () => html`<label>Lose ${plural(clients, 'connection')} without a word, with the wills, and turn away new ones for
        <input type="number" name="seconds" value="10" min="0" max="86400" step="any" /> s of the broker's clock</label>`,
      (form) => post('/v1/outage', { seconds: Number(form.seconds.value) }),
    )}
    ${faults.outage_s === null ? nothing : html`<button @click=${() => tell('End of the outage', post('/v1/outage', { seconds: 0 })).catch(fail)}>End the outage</button>`}
    ${button(
      'head',
      'Reset',
      () => html`<span>End ${plural(clients, 'connection')} and ${plural(sessions, 'session')} without wills; ${plural(retained, 'retained message')}, groups, queues,
        rules, held packets, an outage, journal, history and counters go. Registry, certificates and clock stay.</span>`,
      () => post('/v1/reset'),
    )}`;

  const list = (/** @type {any} */ { rules: found }) =>
    found.length
      ? html`<div class="scroll"><table class="list">
          <thead><tr><th scope="col">Name</th><th scope="col">Which packets, and what becomes of them</th><th scope="col">Hits</th><th scope="col">Expires in</th><td></td></tr></thead>
          <tbody>${found.map((/** @type {any} */ rule) => html`<tr>
            <th scope="row">${name(rule.name, 24)}</th>
            <td class="wrap">${plain(rule.text)}</td>
            <td>${number(rule.hits)}${rule.times === null ? '' : ` of ${number(rule.times)}`}</td>
            <td>${rule.expires_in_s === null ? '' : time(rule.expires_in_s)}</td>
            <td class="n">${button('rules', 'Remove', () => html`<span>Remove ${name(rule.name)}. ${STAYS}</span>`, () => remove(path('/v1/rules', String(rule.id))))}</td>
          </tr>`)}</tbody>
        </table></div>
        <p class="row">${button('rules', 'Remove all', () => html`<span>Remove ${plural(found.length, 'rule')}. ${STAYS}</span>`, () => remove('/v1/rules'))}</p>`
      : html`<p class="calm">No rule is armed: every packet goes as it is.</p>`;

  const packets = (/** @type {any} */ { held: found, total }) =>
    total
      ? html`<section class="panel"><h2>${plural(total, 'packet')} held</h2>
          <ol>${found.map((/** @type {any} */ { packet = {}, client, direction, rule }) => html`<li>${packet.type} ${packet.packet_id} ${direction}, ${name(client ?? '', 24)} ${name(packet.topic ?? '')} <small>by ${name(rule, 24)}</small></li>`)}</ol>
          ${total > SHOWN ? html`<p class="small">The oldest ${SHOWN} are listed.</p>` : nothing}
          <p class="row"><button @click=${() => tell('Release', post('/v1/held/release?n=1')).catch(fail)}>Release next</button>
            <button @click=${() => tell('Release', post('/v1/held/release')).catch(fail)}>Release all</button>
            ${button('held', 'Discard all', () => html`<span>${plural(total, 'packet')} will never arrive.</span>`, () => post('/v1/held/discard'))}</p>
          ${asked('held')}</section>`
      : nothing;

  const what = (/** @type {any} */ { kind, client_id: id }) => html`${kind.replaceAll('_', ' ')}${id === null ? '' : html` of ${name(id, 32)}`}`;
  /** Asks with what the clock will fire. */
  const advance = async (/** @type {any} */ event) => {
    event.preventDefault();
    const { target, submitter } = event;
    const keep_alive = target.keep_alive.checked;
    const found = (await get(`/v1/deadlines?limit=${MOST}`)).deadlines.filter((/** @type {any} */ one) => keep_alive || one.kind !== 'connection');
    const next = Math.ceil((found[0]?.in_seconds ?? 0) * 1000 + 1) / 1000;
    const seconds = submitter.value === 'next' ? next : Number(submitter.value || target.by.value);
    const due = found.filter((/** @type {any} */ one) => one.in_seconds <= seconds);
    const count = `${plural(due.length, 'deadline')}${due.length < MOST ? '' : ' or more'}`;
    where = 'clock';
    ask.ask(
      /** @type {any} */ ({ currentTarget: submitter }),
      html`<div>Forward by ${time(seconds)}, past ${count}<ul>${due.slice(0, SHOWN).map((/** @type {any} */ one) => html`<li>${what(one)}</li>`)}</ul>
        ${due.length > SHOWN ? `and ${number(due.length - SHOWN)} more` : ''}</div>`,
      'Advance',
      () => tell(`Forward by ${time(seconds)}, past ${count}`, post('/v1/clock/advance', { seconds, keep_alive })),
    );
  };
  const hands = (/** @type {any} */ { now, ahead_seconds: ahead, scale }) => html`<p><time title=${now}>${new Date(now).toLocaleDateString()} ${moment(Date.parse(now))}</time>
      <span class="count">${ahead < 0.001 ? 'as this machine' : `${time(ahead)} ahead`}${scale === 1 ? '' : `, × ${scale}`}</span></p>
    <form class="row" @submit=${(/** @type {Event} */ event) => advance(event).catch(fail)}><input type="number" name="by" aria-label="Seconds" placeholder="s" min="0" step="any" required /><button>Advance</button>
      ${[['1', '1 s'], ['60', '1 min'], ['3600', '1 h'], ['next', 'Next deadline']].map(([by, title]) => html`<button value=${by} formnovalidate>${title}</button>`)}
      <label><input type="checkbox" name="keep_alive" /> Keep Alive, too</label></form>
    ${asked('clock')}`;
  const coming = (/** @type {any} */ { deadlines: next, total }) => html`<h3>${plural(total, 'deadline')}</h3>
    <table class="list"><tbody>${next.map((/** @type {any} */ one) => html`<tr><td class="n">${time(one.in_seconds)}</td><td class="wrap">${what(one)}</td></tr>`)}</tbody></table>
    ${total > next.length ? html`<p class="small">The first ${next.length} are listed.</p>` : nothing}`;

  return {
    title: 'Faults and clock',
    cancel: () => ask.cancel(),
    close() {
      off();
      for (const one of all) one.close();
    },
    view: () => html`<div class="head"><h1>Faults and clock</h1><span class="buttons">${state.stats ? head(state.stats) : nothing}</span></div>
      ${asked('head')} ${said}
      <section class="panel"><h2>Rules</h2>${shown(rules, list)} ${asked('rules')}</section>
      <div class="columns">
        <div>${shown(held, packets)} ${arm.view()}</div>
        <section class="panel"><h2>Clock</h2>${shown(clock, hands)} ${shown(deadlines, coming)}</section>
      </div>`,
  };
}
