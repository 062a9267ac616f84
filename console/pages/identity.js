// What the registry has, kind by kind, and the shadows of its things; what was refused lately, and why.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { path, query } from '../api.js';
import { choice, copyable, head, list, pairs, panel, shown, table, watch } from '../parts/list.js';
import { moment, name, number } from '../parts/text.js';

const KINDS = ['', 'certificates', 'policies', 'thing-groups', 'authorizers', 'refusals'];
/** What makes the first; operations are the AWS CLI's. */
const FIRST = {
  things: 'iot create-thing --thing-name car1',
  certificates: 'roundel cert car1',
  shadows: `iot-data update-thing-shadow --thing-name car1 --cli-binary-format raw-in-base64-out \\
  --payload '{"state": {"desired": {"light": "on"}}}' /dev/stdout`,
};
const REFUSAL = ['action', 'resource', 'client_id', 'principal', 'at_ms', 'count', 'why'];
const REFUSALS = '/console/identity?kind=refusals';

/** A list of one kind. */
export function open(changed, route) {
  const isShadows = location.pathname.endsWith('shadows');
  const kind = () => (isShadows ? 'shadows' : route.query.get('kind') || 'things');
  const { asked, ...page } = watch(() => {
    const { q, after } = Object.fromEntries(route.query);
    // The last refusals; a search finds the others that the broker keeps.
    if (kind() === 'refusals') return `/v1/refusals${query({ q, limit: 100 })}`;
    return path(isShadows ? '/v1' : '/v1/identity', kind()) + query({ q, after });
  }, changed, { stats: 2000 });
  const title = isShadows ? 'Shadows' : 'Identity';
  let last = kind();
  return {
    ...page,
    title,
    update() {
      if (last !== kind()) asked.value = null;
      last = kind();
      page.update();
    },
    view: () =>
      list(route, asked, {
        title,
        one: last.slice(0, -1).replace('cie', 'cy'),
        limit: last === 'refusals' ? 101 : 100,
        label: 'Filter: part of the name, the client or the resource',
        placeholder: 'name',
        choice: isShadows
          ? nothing
          : html`${choice(route, 'kind', 'Kind', KINDS.map((one) => [one, words(one || 'things')]))}
              <a href="/console/identity/explain">Explain …</a>`,
        key: (row) => (row.thing ? [row.thing, row.name ?? []].flat().join('/') : (row.id ?? row.name)),
        table: (rows) => rowsOf(last, rows),
        empty: () => html`<div class="note">${route.query.get('q') ? 'No name here has that in it.' : first(last)}</div>`,
      }),
  };
}

function first(kind) {
  if (kind === 'refusals') return 'Nothing was refused.';
  const line = FIRST[kind] ?? 'roundel registry import fleet.toml';
  return html`There is none yet. This makes the first: ${copyable(line.startsWith('iot') ? `aws --endpoint-url ${location.origin} ${line}` : line)}`;
}

const json = (value) => value && copyable(JSON.stringify(value, null, 2));
const date = (ms) => new Date(ms).toLocaleString('sv');
/** `created_at_ms` as a title. */
const words = (key) => key.replace('_ms', '').replace(/[_-]/g, ' ').replace(/^(arn|.)/, (start) => start.toUpperCase());

/** A value as people read it. */
function cell(key, value, most = 40) {
  if (value == null) return '–';
  if (key === 'at_ms') return moment(value);
  if (key.endsWith('_ms')) return date(value);
  if (key === 'status') return html`<span class="state ${value === 'ACTIVE' ? '' : 'away'}">${words(value.toLowerCase())}</span>`;
  // What it would take stands in the explanation.
  if (key === 'why') value = value.replace(/ iot\w*:\w+ on .*/s, ' it');
  if (value === !!value) return value ? 'yes' : 'no';
  return typeof value === 'number' ? number(value) : name(value, most);
}

/** Where a row leads. */
const place = (kind, row) =>
  kind === 'refusals' ? row.explain && `/console/identity/explain?${row.explain}`
  : kind === 'shadows' ? path('/console/shadows', row.thing, row.name ?? '')
  : path('/console/identity', kind, row.id ?? row.name);

/** The columns are what the API says of each. */
function rowsOf(kind, rows) {
  const keys = kind === 'refusals' ? REFUSAL : Object.keys(rows[0]);
  /** @returns {any} */ const column = (key, at) => {
    const text = (row) => cell(key, row[key], /^id|principal/.test(key) ? 16 : 48);
    const link = (row) => (place(kind, row) ? html`<a href=${place(kind, row)} data-row>${text(row)}</a>` : text(row));
    const isCount = typeof rows[0][key] === 'number' && !key.endsWith('_ms');
    return at ? [words(key), text, isCount ? 'n' : ''] : [words(key), link, 'row'];
  };
  return table(rows, keys.map(column));
}

/** A page below a list: what `url` says, as it changes. */
function below(changed, url, back, from, title, view) {
  const { asked, close } = watch(() => url, changed, { stats: 2000 });
  return { title, back, close, view: () => html`${head(back, from, name(title, 80))} ${shown(asked, view)}` };
}

/** One resource, with ways to what it belongs to. */
export function openOne(changed, { parts: [kind, id] }) {
  const facts = (of) => pairs(Object.entries(of).map(([key, value]) => [words(key), value && typeof value === 'object' ? null : cell(key, value, 200)]));
  const back = `/console/identity${query({ kind: kind.replace('things', '') })}`;
  return below(changed, path('/v1/identity', kind, id), back, words(kind), id, (one) => html`<div class="columns">
    <div>
      <section class="panel">${facts(one)}</section>
      ${one.attributes && panel('Attributes', pairs(Object.entries(one.attributes).map(([key, value]) => [key, name(value, 200)])))}
      ${one.versions?.map(({ document, ...rest }) => html`<section class="panel">${facts(rest)}<br />${json(JSON.parse(document))}</section>`)}
    </div>
    <div>${Object.keys(one).map((key) => (one[key]?.total >= 0 ? links(id, key, one[key]) : nothing))}</div>
  </div>`);
}

function links(of, key, { entries, total }) {
  const kind = /parents|children/.test(key) ? 'thing-groups' : key.replace('_', '-');
  const rows = entries.map((one) => html`<p><a data-row href=${place(kind, { thing: of, ...one })}>${name(one.title ?? (one.name || 'classic'))}</a>
    ${one.title && html`<small>${name(one.name, 16)}</small>`}</p>`);
  return panel(`${words(key)}: ${number(total)}`, rows, entries.length < total ? `The first ${entries.length} are shown.` : nothing);
}

/** A shadow: what is desired, what is so, what differs, and since when. */
export function openShadow(changed, { parts: [thing, own] }) {
  const url = path('/v1/shadows', thing, ...(own ? [own] : []));
  return below(changed, url, '/console/shadows', 'Shadows', `${thing} / ${own || 'classic'}`, (shadow) => html`<p>Version ${number(shadow.version)}
    of a shadow of <a href=${path('/console/identity/things', thing)}>${name(thing)}</a></p>${values(shadow)}`);
}

/** A row for each value of a shadow, however deep it stands. */
function values({ state, metadata }) {
  /** @type {Map<string, any>} */ const rows = new Map();
  const walk = (part, at, value, times) => {
    const keys = value && typeof value === 'object' && !Array.isArray(value) ? Object.keys(value) : [];
    // A dot in a key is no step.
    for (const key of keys) walk(part, [...at, /^[^.]+$/.test(key) ? key : JSON.stringify(key)], value[key], times?.[key]);
    if (keys.length || !at.length) return;
    const { timestamp } = [times].flat(9)[0] ?? {};
    const row = at.join('.');
    rows.set(row, { ...rows.get(row), [part]: html`${name(JSON.stringify(value), 60)}<br /><small>${timestamp && date(timestamp * 1000)}</small>` });
  };
  const column = (part) => {
    walk(part, [], state[part], metadata[part]);
    return [words(part), ([, row]) => row[part] ?? '–', '', ([, row]) => part === 'delta' && row.delta && 'warn'];
  };
  const columns = /** @type {any} */ (['desired', 'reported', 'delta'].map(column));
  return table([...rows], [['Value', ([at]) => name(at), 'row'], ...columns]);
}

/** What a client may do, and why: asked of the policies as they stand. */
export function openExplain(changed, route) {
  /** @returns {any} */
  const given = () => ({ action: 'publish', ...Object.fromEntries(route.query) });
  const isWhole = () => {
    const { client, certificate, access_key, action, resource } = given();
    return (client || certificate || access_key) && (resource || action === 'connect');
  };
  const { asked, ...page } = watch(() => (isWhole() ? `/v1/policy/explain${query(given())}` : ''), changed, { stats: 2000 });
  return {
    ...page,
    title: 'Explain',
    back: REFUSALS,
    update() {
      asked.value = null;
      page.update();
    },
    view() {
      const now = given();
      // What held before is no answer.
      if (asked.error) asked.value = null;
      return html`${head(REFUSALS, 'Refusals', 'Explain')}
        <form class="panel figures" @submit=${(event) => event.preventDefault()} @change=${({ target }) => route.set({ [target.name]: target.value })}>
          <label>Action <select name="action">${[...new Set(['publish', 'subscribe', 'receive', 'connect', now.action])].map((one) => html`<option ?selected=${one === now.action}>${one}</option>`)}</select></label>
          ${['client', 'certificate', 'resource'].map((key) => html`<label>${words(key)} <input type="search" name=${key} .value=${now[key] ?? ''} /></label>`)}
        </form>
        ${isWhole() ? shown(asked, answer) : html`<p class="note">Name a client (and its certificate, if it is not connected) and a topic or filter: the answer is what decides.</p>`}`;
    },
  };
}

const part = (title, all, view) => (all.length ? html`<h3>${title}</h3>${all.map(view)}` : '');
const policyLink = (policy) => html`<a href=${path('/console/identity/policies', policy)}>${name(policy)}</a> `;
/** Where a statement stands, and what it says. */
const statement = ({ policy, statement, sid, text, why }) =>
  html`<p>${policyLink(policy)} Statement[${statement}] ${sid}${why && html`: ${name(why, 300)}`}</p>${json(text)}`;

const answer = (one) => html`<p class="note ${one.allowed ? '' : 'bad'}" role="status"><strong>${one.allowed ? 'Allowed' : 'Denied'}</strong>${one.reason && `: ${one.reason}`}${one.policies.length ? html`. Policies: ${one.policies.map(policyLink)}` : ''}</p>
  ${one.checks.map((check) => panel(
    check.verdict.replace('_', ' '),
    html`<p><strong>${check.action} ${name(check.resource, 80)}</strong></p>`,
    check.decided_by && statement(check.decided_by),
    check.would_be_allowed_by && html`<h3>The smallest statement that would allow it</h3>${json(check.would_be_allowed_by)}`,
    part('Variables', Object.entries(check.variables), ([key, value]) => pairs({ [key]: name(value ?? 'no value', 80) })),
    part('Near misses', check.near_misses, statement),
  ))}`;
