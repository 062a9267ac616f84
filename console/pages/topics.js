// Topics: a tree of those that have a value, loaded level by level, and one of them in detail.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { get, path, query, remove } from '../api.js';
import { Ask, choice, panel, samples, search, shown, watch } from '../parts/list.js';
import { block, bytes, diff, group, moment, name, number, plain, plural, unpacked, VIEWS, written } from '../parts/text.js';

/** Rows of a level, and bytes that the broker keeps of a value. */
const [LIMIT, KEPT] = [200, 2 ** 18];

/** What is open stays so when somebody comes back. */
const opened = new Set();
/** By what they are under: the rows that are seen of a level, and those that the broker told last, `fresh`. @type {Map<string, any>} */
const levels = new Map();
/** Topics that are shown unasked. */
let room = 40;

const below = (row) => row.topics - (row.value ? 1 : 0);

/** Shows what is new; rows do not move under whoever points at them or has the focus there. */
function place(level) {
  const isHeld = document.querySelector('[role=tree]')?.matches(':hover, :focus-within');
  const now = (row) => level.fresh.find((one) => one.under === row.under) ?? row;
  level.rows = level.rows[0] && isHeld ? level.rows.map(now) : level.fresh;
}

/** Takes an answer of the broker; the mark changes with what is in the level. */
function take(under, { levels: fresh, total }, mark) {
  const { rows } = levels.get(under) ?? {};
  for (const row of rows ? [] : fresh) {
    if (!below(row) || below(row) > room || row.level.startsWith('$')) continue;
    room -= below(row);
    opened.add(row.under);
  }
  const level = { rows: rows ?? [], fresh, total, mark };
  levels.set(under, level);
  place(level);
}

/** The rows that are seen. @returns {any[]} */
const rows = (under, depth) =>
  (levels.get(under)?.rows ?? []).flatMap((row) => [{ row, depth }, ...(opened.has(row.under) ? rows(row.under, depth + 1) : [])]);

export function open(changed, route) {
  let [selected = ''] = route.parts;
  let unseen = !!selected;
  let focused = `${selected}/`;
  let [busy, again] = [false, false];
  for (const { index } of selected.matchAll(/\//g)) opened.add(selected.slice(0, index + 1));
  const q = () => route.query.get('q');
  const { asked: root, ...page } = watch(
    () => `/v1/topics/${q() ? 'values' : 'levels'}${query({ q: q(), limit: LIMIT })}`,
    () => {
      if (root.value?.levels) take('', root.value, '');
      descend();
    },
    { topics: 1000 },
    'topics',
  );
  const { asked: detail, close } = watch(() => selected && `/v1/topics/value${query({ topic: selected })}`, changed, { topics: 500 });
  const ask = new Ask(changed);

  /** Loads what is open and has changed. */
  async function descend() {
    changed();
    again = busy;
    if (busy) return;
    busy = true;
    const waiting = [...(levels.get('')?.fresh ?? [])];
    for (const { under, topics, messages } of waiting) {
      if (root.closed || document.hidden) break;
      if (!opened.has(under)) continue;
      const mark = `${root.value?.since_ms} ${topics} ${messages}`;
      if (levels.get(under)?.mark !== mark) {
        const value = await get(`/v1/topics/levels${query({ under, limit: LIMIT })}`).catch(() => null);
        if (value) take(under, value, mark);
        changed();
      }
      waiting.push(...(levels.get(under)?.fresh ?? []));
    }
    busy = false;
    if (again) descend();
    else if (unseen) requestAnimationFrame(show);
  }
  /** Keeps the topic of the address in sight until somebody is at the tree. */
  function show() {
    unseen = !document.querySelector('[role="tree"]:is(:hover, :focus-within)');
    if (unseen) document.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: 'center' });
  }
  function select({ under }) {
    const topic = under.slice(0, -1);
    if (!topic || topic === selected) return;
    selected = topic;
    route.move(path('/console/topics', topic) + location.search);
    detail.refresh();
  }
  function toggle({ under }) {
    opened.delete(under) || opened.add(under);
    descend();
  }

  function press(event, seen) {
    const { key } = event;
    const items = [...event.currentTarget.children];
    const at = items.indexOf(event.target);
    if (at < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const { row, depth } = seen[at];
    const isTwig = below(row) && !q();
    const isOpen = isTwig && opened.has(row.under);
    const above = seen.findLastIndex((other, place) => place < at && other.depth < depth);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: seen.length - 1, ArrowRight: isOpen ? at + 1 : at, ArrowLeft: isOpen ? at : above, Enter: at, ' ': at }[key];
    if (to === undefined) return;
    event.preventDefault();
    if (to !== at) items[to]?.focus();
    else if (/Right|Left/.test(key)) isTwig && toggle(row);
    else if (!/Home|End/.test(key)) select(row);
  }

  const item = ({ row, depth }, isStop) => html`<div role="treeitem" data-row tabindex=${isStop ? 0 : -1} aria-level=${depth}
    aria-expanded=${below(row) && !q() ? opened.has(row.under) : nothing} aria-selected=${row.under === `${selected}/`}
    @focus=${() => (focused = row.under)}
    @click=${(event) => {
      const isTwist = event.target.matches('.twist');
      if (below(row) && (!row.value || isTwist)) toggle(row);
      if (!isTwist) select(row);
    }}
    >${Array.from({ length: Math.min(depth - 1, 12) }, () => html`<i></i>`)}<span class="twist"></span>${row.level ? name(row.level, 40) : html`<em>empty</em>`}
    <small>${below(row) ? `(${number(below(row))})` : ''}</small>${row.value?.retained ? html`<small class="chip">retained</small>` : ''}
    <span class="value">${row.value && plain(row.value.beginning?.replace(/\s+/g, ' ') ?? 'bytes')}</span>
    <small>${row.value ? bytes(row.value.payload_size) : plural(row.messages, 'message')}</small></div>`;

  function tree() {
    const flat = (value) => ({ depth: 1, row: { level: value.topic, under: `${value.topic}/`, topics: 1, value } });
    const seen = q() ? (root.value.values ?? []).map(flat) : rows('', 1);
    const keys = seen.map(({ row }) => row.under);
    const stop = [focused, `${selected}/`].find((key) => keys.includes(key)) ?? keys[0];
    const open = q() ? [] : ['', ...keys.filter((under) => opened.has(under))].flatMap((under) => levels.get(under) ?? []);
    const news = open.reduce((sum, { fresh, rows }) => sum + fresh.filter(({ under }) => !rows.some((row) => row.under === under)).length, 0);
    const isCut = (q() ? [root.value] : open).some(({ total }) => total > LIMIT);
    const renew = () => {
      for (const level of levels.values()) level.rows = level.fresh;
      changed();
    };
    return panel(html`Tree ${news ? html`<button @click=${renew}>${number(news)} new</button>` : ''}`, html`${seen.length
        ? html`<div role="tree" aria-label="Topics" @keydown=${(event) => press(event, seen)}>${seen.map((one, at) => item(one, keys[at] === stop))}</div>`
        : html`<p class="calm">No topic ${q() ? html`has <bdi>${q()}</bdi> in it` : 'has a value'}.</p>`}
      ${isCut ? html`<p class="small">The first ${LIMIT} of a level: the filter finds the others.</p>` : ''}`);
  }

  /** A button that says how many it would delete. */
  const deletion = (title, filter) => html`<button @click=${async ({ currentTarget }) => {
    const them = `/v1/retained${query({ filter })}`;
    const { total } = await get(`${them}&limit=0`).catch(() => ({ total: 0 }));
    const what = html`<span>Delete ${plural(total, 'retained message')}: ${name(filter, 60)}. Nobody is told.</span>`;
    ask.ask({ currentTarget }, what, `Delete ${number(total)}`, () => remove(them), () => {
      for (const level of levels.values()) level.mark = '';
      root.refresh();
      detail.refresh();
    });
  }}>${title}</button>`;

  function carried(last, previous) {
    const view = route.query.get('view') ?? '';
    const form = (value) => (value[`as ${view}`] ??= written(unpacked(value.payload_base64), view, value.payload_is_cut));
    const { client_id: from, payload_size: size } = last;
    return html`<h2>Last value, ${moment(last.at_ms)}</h2>
      <p>QoS ${last.qos}, ${bytes(size)}${last.retain ? ', RETAIN' : ''} ${name(last.properties?.content_type ?? '')} ${from === null ? nothing : html`from <a href=${path('/console/clients', from)}>${name(from, 32)}</a>`}</p>
      ${choice(route, 'view', 'Form', VIEWS)}
      ${block(form(last), Math.min(KEPT, size), size)}
      ${previous ? html`<h2>Change since ${moment(previous.at_ms)}</h2>${last.payload_base64 === previous.payload_base64 ? html`<p class="calm">The same value.</p>` : diff(form(previous), form(last))}` : ''}`;
  }

  const one = ({ topic, last, ...value }) => html`<h1>${name(topic, 80)}</h1>
    <p class="calm">${last ? `${plural(value.count, 'message')}${value.retained ? ', retained' : ''}` : `Nothing was published to it since ${moment(value.since_ms)}.`}</p>
    <p class="tabs"><a href=${`/console/test${query({ topic })}`}>Publish here</a>
      ${value.retained && !topic.startsWith('$SYS') ? deletion('Delete retained …', topic) : ''} ${deletion('Delete retained below …', `${topic}/#`)}</p>
    ${last ? carried(last, value.previous) : ''}
    <h2>${plural(value.subscriptions_total, 'subscription')}, ${plural(value.groups_total, 'group')}${Math.max(value.subscriptions_total, value.groups_total) > 100 ? ', the first 100 of each' : ''}</h2>
    <ul>${value.groups.map(({ share, filter }) => html`<li><a href=${path('/console/groups', share, filter)}>${group(share, filter)}</a></li>`)}
      ${value.subscriptions.map((to) => html`<li><a href=${path('/console/clients', to.client_id)}>${name(to.client_id)}</a> <small>${name(to.filter)}, QoS ${to.qos}</small></li>`)}</ul>`;

  return {
    title: selected || 'Topics',
    cancel: () => ask.cancel(),
    ...page,
    close() {
      page.close();
      close();
    },
    tick: () => levels.forEach(place),
    view: () => html`<div class="head">
        <h1>Topics</h1>
        <p class="count">${root.value ? `${plural(root.value.topics, 'topic')}, counted since ${moment(root.value.since_ms)}` : ''}</p>
        ${search(route, 'Filter: part of the topic', 'topic')}
      </div>
      ${root.value?.dropped ? html`<p class="note">${plural(root.value.dropped, 'topic')} made room for others: the broker keeps 10,000, and 16 MiB.</p>` : ''}
      ${ask.view()}
      ${shown(root, () => html`<div class="columns topics">${tree()}${panel('Topic', selected ? shown(detail, one) : html`<p class="calm">Choose a topic to see its values. This publishes some:</p> ${samples(-1)}`)}</div>`)}`,
  };
}
