// @ts-check
// Topics: a tree of those that have a value, loaded level by level, and one of them in detail.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { repeat } from '../vendor/lit-html/directives/repeat.js';
import { get, path, query, remove, Resource } from '../api.js';
import { on, state, want } from '../store.js';
import { Ask } from '../parts/ask.js';
import { commands, copyable } from '../parts/commands.js';
import { choice, search, shown } from '../parts/list.js';
import { bytes, group, moment, name, number, plain, plural } from '../parts/text.js';
import { block, diff, form } from '../parts/value.js';

/** Rows of a level. */
const LIMIT = 200;

/** What is open stays so when somebody comes back. @type {Set<string>} */
const opened = new Set();
/** What is seen of a level (`rows`), and what the broker said last. @type {Map<string, any>} */
const levels = new Map();
/** Topics that are shown without being asked for. */
let room = 40;

const below = (/** @type {any} */ row) => row.topics - (row.value ? 1 : 0);

/** Shows what is new; rows do not move under whoever points at them or has the focus there. @param {any} level */
function place(level) {
  const isHeld = document.querySelector('[role=tree]')?.matches(':hover, :focus-within');
  const now = (/** @type {any} */ row) => level.fresh.find((/** @type {any} */ one) => one.under === row.under) ?? row;
  level.rows = level.rows[0] && isHeld ? level.rows.map(now) : level.fresh;
}

/** @param {string} under @param {any} value @param {string} mark */
function take(under, { levels: fresh, total }, mark) {
  const known = levels.get(under);
  for (const row of known ? [] : fresh) {
    if (!below(row) || below(row) > room || row.level.startsWith('$')) continue;
    room -= below(row);
    opened.add(row.under);
  }
  const level = { rows: known?.rows ?? [], fresh, total, mark };
  levels.set(under, level);
  place(level);
}

/** The rows that are seen. @param {string} under @param {number} depth @returns {any[]} */
const rows = (under, depth) =>
  (levels.get(under)?.rows ?? []).flatMap((/** @type {any} */ row) => [{ row, depth }, ...(opened.has(row.under) ? rows(row.under, depth + 1) : [])]);

/** @param {() => void} changed @param {any} route */
export function open(changed, route) {
  let [selected] = route.parts;
  let focused = `${selected}/`;
  let all = false;
  let busy = false;
  let again = false;
  for (let at = -1; (at = selected.indexOf('/', at + 1)) >= 0; ) opened.add(selected.slice(0, at + 1));
  const q = () => route.query.get('q');
  const root = new Resource(
    () => `/v1/topics/${q() ? 'values' : 'levels'}${query({ q: q(), limit: LIMIT })}`,
    () => {
      if (root.value?.levels) take('', root.value, '');
      descend();
    },
  );
  const detail = new Resource(() => `/v1/topics/value${query({ topic: selected })}`, changed);
  const ask = new Ask(changed);

  /** Loads what is open and has changed. */
  async function descend() {
    changed();
    again = busy;
    if (busy) return;
    busy = true;
    const waiting = [...(levels.get('')?.fresh ?? [])];
    for (let row = waiting.shift(); row && !root.closed && !document.hidden; row = waiting.shift()) {
      const [{ under }, mark] = [row, `${root.value?.since_ms} ${row.topics} ${row.messages}`];
      if (!opened.has(under)) continue;
      if (levels.get(under)?.mark !== mark) {
        const value = await get(`/v1/topics/levels${query({ under, limit: LIMIT })}`).catch(() => null);
        if (value) take(under, value, mark);
        changed();
      }
      waiting.push(...(levels.get(under)?.fresh ?? []));
    }
    busy = false;
    if (again) descend();
  }
  function refresh() {
    root.soon(1000);
    if (selected) detail.soon(500);
  }
  const off = on((topic) => {
    if (topic === 'restarted') levels.clear();
    if (topic === 'topics' || topic === 'restarted') refresh();
  });
  const drop = want('topics');
  refresh();

  /** @param {any} row */
  function select({ under }) {
    const topic = under.slice(0, -1);
    if (!topic || topic === selected) return;
    selected = topic;
    all = false;
    detail.value = detail.error = null;
    detail.since = performance.now();
    route.move(path('/console/topics', topic) + location.search);
    detail.refresh();
  }
  /** @param {any} row @param {boolean} [want] */
  function toggle({ under }, want = !opened.has(under)) {
    want ? opened.add(under) : opened.delete(under);
    descend();
  }

  /** @param {any} event @param {any[]} seen */
  function press(event, seen) {
    const items = [...event.currentTarget.children];
    const at = items.indexOf(event.target);
    if (at < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const { row, depth } = seen[at];
    const isOpen = opened.has(row.under) && !q();
    const above = seen.findLastIndex((other, place) => place < at && other.depth < depth);
    const places = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: seen.length - 1, ArrowRight: isOpen ? at + 1 : at, ArrowLeft: isOpen ? at : above, Enter: at, ' ': at };
    const to = /** @type {any} */ (places)[event.key];
    if (to === undefined) return;
    event.preventDefault();
    if (to !== at) items[to]?.focus();
    else if (/Right|Left/.test(event.key)) below(row) && !q() && toggle(row, !isOpen);
    else if (!/Home|End/.test(event.key)) select(row);
  }

  /** @param {any} one @param {boolean} isStop */
  const item = ({ row, depth }, isStop) => html`<div role="treeitem" data-row tabindex=${isStop ? 0 : -1} aria-level=${depth}
    aria-expanded=${below(row) && !q() ? String(opened.has(row.under)) : nothing} aria-selected=${row.under === `${selected}/`}
    @focus=${() => (focused = row.under)}
    @click=${(/** @type {any} */ event) => {
      const isTwist = event.target.matches('.twist');
      if (below(row) && (!row.value || isTwist)) toggle(row);
      if (!isTwist) select(row);
    }}
    >${Array.from({ length: Math.min(depth - 1, 12) }, () => html`<i></i>`)}<span class="twist"></span>${row.level ? name(row.level, 40) : html`<em>empty</em>`}
    <small>${below(row) ? `(${number(below(row))})` : ''}</small>${row.value?.retained ? html`<small class="chip">retained</small>` : ''}
    <span class="value">${row.value ? (row.value.beginning === null ? 'bytes' : plain(row.value.beginning.replace(/\s+/g, ' '))) : ''}</span>
    <small>${row.value ? bytes(row.value.payload_size) : plural(row.messages, 'message')}</small></div>`;

  function tree() {
    const flat = (/** @type {any} */ value) => ({ depth: 1, row: { level: value.topic, under: `${value.topic}/`, topics: 1, value } });
    const seen = q() ? (root.value.values ?? []).map(flat) : rows('', 1);
    const keys = seen.map((/** @type {any} */ one) => one.row.under);
    const stop = [focused, `${selected}/`].find((key) => keys.includes(key)) ?? keys[0];
    let [news, cut] = [0, q() ? root.value.total > LIMIT : false];
    for (const [under, { fresh, rows, total }] of q() ? [] : levels) {
      if (under && !(opened.has(under) && keys.includes(under))) continue;
      const there = rows.map((/** @type {any} */ row) => row.under);
      news += fresh.filter((/** @type {any} */ row) => !there.includes(row.under)).length;
      cut ||= total > LIMIT;
    }
    return html`<section class="panel">
      <h2>Tree ${news ? html`<button @click=${() => {
        for (const level of levels.values()) level.rows = level.fresh;
        changed();
      }}>${number(news)} new</button>` : nothing}</h2>
      ${seen.length
        ? html`<div role="tree" aria-label="Topics" @keydown=${(/** @type {any} */ event) => press(event, seen)}>${repeat(seen, (_, at) => keys[at], (one, at) => item(one, keys[at] === stop))}</div>`
        : html`<p class="calm">No topic ${q() ? html`has <bdi>${q()}</bdi> in it` : 'has a value'}.</p>`}
      ${cut ? html`<p class="small">Of a level the first ${LIMIT} are shown: the filter finds the others.</p>` : nothing}
    </section>`;
  }

  /** Asks with the number first. @param {any} event @param {string} filter */
  async function discard({ currentTarget }, filter) {
    const them = `/v1/retained${query({ filter })}`;
    const { total } = await get(`${them}&limit=0`).catch(() => ({ total: 0 }));
    const what = html`<span>Delete ${plural(total, 'retained message')}: ${name(filter, 60)}. Nobody is told.</span>`;
    ask.ask(/** @type {any} */ ({ currentTarget }), what, `Delete ${number(total)}`, () => remove(them), () => {
      for (const level of levels.values()) level.mark = '';
      refresh();
    });
  }
  /** @param {string} title @param {string} filter */
  const deletion = (title, filter) => html`<button @click=${(/** @type {Event} */ event) => discard(event, filter)}>${title}</button>`;

  /** @param {any} value */
  function carried({ last, previous }) {
    const as = route.query.get('as') ?? '';
    const { client_id: from, properties } = last;
    return html`<h2>Last value, ${moment(last.at_ms)}</h2>
      <p>QoS ${last.qos}, ${bytes(last.payload_size)}${last.retain ? ', RETAIN' : ''}${properties?.content_type ? html`, ${name(properties.content_type)}` : nothing}${from === null ? nothing : html`, from <a href=${path('/console/clients', from)}>${name(from, 32)}</a>`}</p>
      ${choice(route, 'as', 'Form', [['', 'Auto'], ['text', 'Text'], ['hex', 'Hex']])}
      ${last.payload_is_cut ? html`<p class="note">The broker keeps the first 256 KiB of ${number(last.payload_size)} bytes.</p>` : nothing}
      ${block(form(last, as), all, () => {
        all = true;
        changed();
      })}
      ${previous ? html`<h2>Change since ${moment(previous.at_ms)}</h2>${last.payload_base64 === previous.payload_base64 ? html`<p class="calm">The same value.</p>` : diff(form(previous, as), form(last, as))}` : nothing}`;
  }

  const one = (/** @type {any} */ value) => html`<h1>${name(selected, 80)}</h1>
    <p class="calm">${value.last ? `${plural(value.count, 'message')}${value.retained ? ', retained' : ''}` : `Nothing was published to it since ${moment(value.since_ms)}.`}</p>
    <p class="tabs"><a href=${`/console/test${query({ topic: selected })}`}>Publish here</a>
      ${value.retained && !selected.startsWith('$SYS') ? deletion('Delete retained …', selected) : nothing} ${deletion('Delete retained below …', `${selected}/#`)}</p>
    ${value.last ? carried(value) : nothing}
    <h2>${plural(value.subscriptions_total, 'subscription')}, ${plural(value.groups_total, 'group')}</h2>
    <ul>${value.groups.map((/** @type {any} */ to) => html`<li><a href=${path('/console/groups', to.share, to.filter)}>${group(to.share, to.filter)}</a></li>`)}
      ${value.subscriptions.map((/** @type {any} */ to) => html`<li><a href=${path('/console/clients', to.client_id)}>${name(to.client_id)}</a> <small>${name(to.filter)}, QoS ${to.qos}</small></li>`)}</ul>
    ${Math.max(value.subscriptions_total, value.groups_total) > 100 ? html`<p class="small">The first 100 of each.</p>` : nothing}`;

  const empty = () => html`<p class="calm">Choose a topic to see its values. This publishes some:</p>
    ${(state.info ? (commands(state.info)[0]?.[1].slice(-1) ?? []) : []).map(([, text]) => copyable(text))}`;

  return {
    title: selected || 'Topics',
    cancel: () => ask.cancel(),
    close() {
      off();
      drop();
      root.close();
      detail.close();
    },
    update: () => root.refresh(),
    tick: () => levels.forEach(place),
    view: () => html`<div class="head">
        <h1>Topics</h1>
        <p class="count">${root.value ? `${plural(root.value.topics, 'topic')}, counted since ${moment(root.value.since_ms)}` : ''}</p>
        ${search(route, 'Filter: part of the topic', 'topic')}
      </div>
      ${root.value?.dropped ? html`<p class="note">${plural(root.value.dropped, 'topic')} made room for others: the broker keeps 10,000, and 16 MiB.</p>` : nothing}
      ${ask.view()}
      ${shown(root, () => html`<div class="columns topics">${tree()}<section class="panel"><h2>Topic</h2>${selected ? shown(detail, one) : empty()}</section></div>`)}`,
  };
}
