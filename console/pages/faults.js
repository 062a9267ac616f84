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

/** @param {() => void} changed @param {any} route */
export function open(changed, route) {
  const all = ['rules', `held?limit=${SHOWN}`, 'clock', `deadlines?limit=${SHOWN}`].map((what) => new Resource(() => `/v1/${what}`, changed));
  const ask = new Ask(changed);
  let where = '';
  /** @type {unknown} */ let said = nothing;

  /** @type {Record<string, (...all: any[]) => any>} */
  const my = {
    say(what) {
      said = what;
      for (const one of all) one.refresh();
      changed();
    },
    fail: (error) => my.say(failure(error)),
    /** Waits until it is done, and says what the API says of it. */
    async tell(what, answer) {
      const facts = Object.entries(await answer).map(([key, value]) => `${key.replaceAll('_', ' ')} ${plain(String(value))}`);
      my.say(html`<p class="note" role="status">${what}: ${facts.join(', ')}</p>`);
    },
    direct: (verb, to, body) => html`<button @click=${() => my.tell(verb, post(to, body)).catch(my.fail)}>${verb}</button>`,
    each: (list, view) => list.map(view),
    asked: (place) => (where === place ? ask.view() : nothing),
    ask(place, event, what, verb, run) {
      where = place;
      ask.ask(event, what, verb, run);
    },
    /** A button that asks. */
    button: (place, verb, what, run) => html`<button ?data-row=${verb === 'Remove'}
      @click=${(/** @type {Event} */ event) => my.ask(place, event, what(), verb, (/** @type {any} */ form) => my.tell(verb, run(form)))}>${verb} …</button>`,

    head: ({ clients_connected: clients, sessions, retained, faults }) => html`${my.button(
      'head',
      'Outage',
      () => html`<label>Lose ${plural(clients, 'connection')} without DISCONNECT, with the wills, and turn away new ones for
        <input type="number" name="seconds" value="10" min="0" max="86400" step="any" /> s of the broker's clock</label>`,
      (/** @type {any} */ form) => post('/v1/outage', { seconds: Number(form.seconds.value) }),
    )}
    ${faults.outage_s === null ? nothing : my.direct('End the outage', '/v1/outage', { seconds: 0 })}
    ${my.button(
      'head',
      'Reset',
      () => html`<span>End ${plural(clients, 'connection')} and ${plural(sessions, 'session')} without wills; ${plural(retained, 'retained message')}, groups, queues,
        rules, held packets, an outage, journal, history and counters go. Registry, certificates and clock stay.</span>`,
      () => post('/v1/reset'),
    )}`,

    removal: (verb, what, to) => my.button('rules', verb, () => html`<span>Remove ${what}. What is held stays held.</span>`, () => remove(to)),
    rules: ({ rules }) =>
      rules.length
        ? html`<div class="scroll"><table class="list">
            <thead><tr><th scope="col">Name</th><th scope="col">Which packets, and what becomes of them</th><th scope="col">Hits</th><th scope="col">Expires in</th><td></td></tr></thead>
            <tbody>${my.each(rules, my.rule)}</tbody>
          </table></div>
          <p class="row">${my.removal('Remove all', plural(rules.length, 'rule'), '/v1/rules')}</p>`
        : html`<p class="calm">No rule is armed: every packet goes as it is.</p>`,
    rule: ({ id, name: called, text, hits, times, expires_in_s: left }) => html`<tr><th scope="row">${name(called, 24)}</th><td class="wrap">${name(text, 999)}</td>
      <td>${number(hits)}${times === null ? '' : ` of ${number(times)}`}</td><td>${left === null ? '' : time(left)}</td>
      <td class="n">${my.removal('Remove', name(called), path('/v1/rules', String(id)))}</td></tr>`,

    held: ({ held, total }) =>
      total
        ? html`<section class="panel"><h2>${plural(total, 'packet')} held</h2>
            <ol>${my.each(held, my.packet)}</ol>
            ${total > SHOWN ? html`<p class="small">The oldest ${SHOWN} are listed.</p>` : nothing}
            <p class="row">${my.direct('Release next', '/v1/held/release?n=1')} ${my.direct('Release all', '/v1/held/release')}
              ${my.button('held', 'Discard all', () => html`<span>${plural(total, 'packet')} will never arrive.</span>`, () => post('/v1/held/discard'))}</p>
            ${my.asked('held')}</section>`
        : nothing,
    packet: ({ packet: { type, packet_id: id, topic = '' } = {}, client, direction, rule }) =>
      html`<li>${type} ${id} ${direction}, ${name(client ?? '', 24)} ${name(topic)} <small>by ${name(rule, 24)}</small></li>`,

    what: ({ kind, client_id: id }) => html`${kind.replaceAll('_', ' ')}${id === null ? '' : html` of ${name(id, 32)}`}`,
    /** Asks with what the clock will fire. */
    async advance({ target, submitter }) {
      const keep_alive = target.keep_alive.checked;
      const found = (await get(`/v1/deadlines?limit=${MOST}`)).deadlines.filter((/** @type {any} */ one) => keep_alive || one.kind !== 'connection');
      const next = Math.ceil((found[0]?.in_seconds ?? 0) * 1000 + 1) / 1000;
      const seconds = submitter.value === 'next' ? next : Number(submitter.value || target.by.value);
      const due = found.filter((/** @type {any} */ one) => one.in_seconds <= seconds);
      const forward = `Forward by ${time(seconds)}, past ${plural(due.length, 'deadline')}${due.length < MOST ? '' : ' or more'}`;
      const more = due.length > SHOWN ? `and ${number(due.length - SHOWN)} more` : '';
      const expire = all[0].value?.rules.filter((/** @type {any} */ one) => one.expires_in_s !== null && one.expires_in_s <= seconds).length;
      const list = my.each(due.slice(0, SHOWN), (/** @type {any} */ one) => html`<li>${my.what(one)}</li>`);
      my.ask('clock', { currentTarget: submitter }, html`<div>${forward}<ul>${list}</ul>${more} ${expire ? `${plural(expire, 'rule')} no more` : ''}</div>`, 'Advance', () =>
        my.tell(forward, post('/v1/clock/advance', { seconds, keep_alive })),
      );
    },
    submit(event) {
      event.preventDefault();
      my.advance(event).catch(my.fail);
    },
    clock: ({ now, ahead_seconds: ahead, scale }) => html`<p><time title=${now}>${new Date(now).toLocaleDateString()} ${moment(Date.parse(now))}</time>
        <span class="count">${ahead < 0.001 ? 'as this machine' : `${time(ahead)} ahead`}${scale === 1 ? '' : `, × ${scale}`}</span></p>
      <form class="row" @submit=${my.submit}>
        <input type="number" name="by" aria-label="Seconds" placeholder="seconds" min="0" step="any" required /><button>Advance</button>
        ${[['1', '1 s'], ['60', '1 min'], ['3600', '1 h'], ['next', 'Next deadline']].map(([by, title]) => html`<button value=${by} formnovalidate>${title}</button>`)}
        <label><input type="checkbox" name="keep_alive" /> Keep Alive, too</label></form>
      ${my.asked('clock')}`,
    deadlines: ({ deadlines: next, total }) => html`<h3>${plural(total, 'deadline')}</h3>
      <table class="list"><tbody>${my.each(next, my.deadline)}</tbody></table>
      ${total > next.length ? html`<p class="small">The first ${next.length} are listed.</p>` : nothing}`,
    deadline: (one) => html`<tr><td class="n">${time(one.in_seconds)}</td><td class="wrap">${my.what(one)}</td></tr>`,
  };
  const arm = new Arm(changed, route, ({ name: rule }) => my.tell('Armed', { rule }));
  my.say(nothing);
  const off = on((topic) => {
    if (topic !== 'stats' && topic !== 'restarted') return;
    for (const one of all) one.soon(one === all[3] && state.stats?.sessions > 2000 ? 10000 : 1000);
  });

  return {
    title: 'Faults and clock',
    cancel: () => ask.cancel(),
    close() {
      off();
      for (const one of all) one.close();
    },
    view: () => html`<div class="head"><h1>Faults and clock</h1><span class="buttons">${state.stats ? my.head(state.stats) : nothing}</span></div>
      ${my.asked('head')} ${said}
      <section class="panel"><h2>Rules</h2>${shown(all[0], my.rules)} ${my.asked('rules')}</section>
      <div class="columns">
        <div>${shown(all[1], my.held)} ${arm.view()}</div>
        <section class="panel"><h2>Clock</h2>${shown(all[2], my.clock)} ${shown(all[3], my.deadlines)}</section>
      </div>`,
  };
}
