// The frame: which page an address is, when it is drawn, and what stands above all pages.

import { html, nothing, render } from './vendor/lit-html/lit-html.js';
import { on, start, state } from './store.js';
import { listen, PAGES, showHelp } from './parts/keys.js';
import { number, plain, plural, time } from './parts/text.js';
import { open as client } from './pages/client.js';
import { open as faults } from './pages/faults.js';
import { open as group } from './pages/group.js';
import { clients, groups } from './pages/lists.js';
import { open as identity, openExplain as explain, openOne as resource, openShadow as shadow } from './pages/identity.js';
import { open as messages, openOne as message } from './pages/messages.js';
import { open as overview } from './pages/overview.js';
import { open as test } from './pages/test.js';
import { open as topics } from './pages/topics.js';

/** @typedef {{ title: string, view: () => unknown, close: () => void, update?: () => void, tick?: () => void, pause?: () => boolean, cancel?: () => boolean, back?: string }} Page */

/** What comes after `/console/`, and the page that is there. */
const ROUTES = Object.entries({
  '': overview,
  groups,
  'groups/*/*': group,
  clients,
  'clients/*': client,
  topics,
  'topics/*': topics,
  identity,
  'identity/explain': explain,
  'identity/*/*': resource,
  shadows: identity,
  'shadows/*': shadow,
  'shadows/*/*': shadow,
  messages,
  'messages/*': message,
  test,
  faults,
});
const ROOT = '/console/';

const element = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** @type {Page} */
let page;
let address = '';

const SLOW = 'All streams are taken: this page asks every 2 s';

/** The address as a page sees it. */
function route(parts) {
  const href = (values) => {
    const changed = new URLSearchParams(location.search);
    for (const [name, value] of Object.entries(values)) value ? changed.set(name, value) : changed.delete(name);
    return location.pathname + (changed.size ? `?${changed}` : '');
  };
  return {
    parts,
    query: new URLSearchParams(location.search),
    href,
    /** Gives the page another address, with which it goes on. */
    move(to) {
      history.pushState(null, '', to);
      address = to;
      changed();
    },
    /** Changes the query of the page without leaving it. */
    set(values) {
      address = href(values);
      history.replaceState(null, '', address);
      this.query = new URLSearchParams(location.search);
      page.update?.();
      changed();
    },
  };
}

/** The page of an address; where there is none, it says so. @returns {Page} */
function find(path) {
  for (const [pattern, open] of ROUTES) {
    const found = path.match(`^${pattern.replaceAll('*', '([^/]*)')}$`);
    try {
      // A part that is not there is empty.
      if (found) return open(changed, route([...found.slice(1).map(decodeURIComponent), '']));
    } catch (error) {
      if (!(error instanceof URIError)) throw error;
    }
  }
  return {
    title: 'No such page',
    close() {},
    view: () => html`<h1>No such page</h1><p>There is nothing at this address. <a href=${ROOT}>Overview</a></p>`,
  };
}

function arrive() {
  address = location.pathname + location.search;
  page?.close();
  page = find(location.pathname.slice(ROOT.length));
  document.title = `${plain(page.title)} · Roundel`;
  changed();
}

function go(to) {
  if (to === address) return;
  history.pushState(null, '', to);
  arrive();
  element('page').focus({ preventScroll: true });
  scrollTo(0, 0);
}

let isDue = false;
/** Draws with the next frame; a hidden page has none. */
function changed() {
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => {
    isDue = false;
    draw();
  });
}

function draw() {
  const { info, stats, link, heard } = state;
  const wide = (text) => html`<span class="wide">${text}</span>`;
  const up = stats && html`${wide(`up ${time(stats.uptime_s)}`)} ${armed(stats.faults)}`;
  render(info && html`<span class="chip">${info.profile}</span> ${wide(info.version)} ${up}`, element('facts'));
  const words = { live: 'live', connecting: 'connecting', slow: 'every 2 s', paused: 'asleep', lost: 'no connection' };
  const old = link === 'lost' && heard ? html` <small>as of ${time((performance.now() - heard) / 1000)} ago</small>` : nothing;
  const tool = (sign, title, does) => html`<button class="tool" title=${title} aria-label=${title} @click=${does}>${sign}</button>`;
  render(
    html`<span class="link ${link}" title=${link === 'slow' ? SLOW : nothing}><span role="status">${words[link]}</span>${old}</span>
      ${tool(THEMES[theme()], `Theme: ${theme()}`, nextTheme)} ${tool('?', 'Keys', showHelp)}`,
    element('tools'),
  );
  document.body.classList.toggle('stale', link === 'lost');
  render(nav(state), element('nav'));
  element('page').querySelector('noscript')?.remove();
  const isDead = !heard && link === 'lost';
  const { activeElement: focused } = document;
  const href = focused?.getAttribute('href');
  render(isDead ? html`<p class="note bad">The broker does not answer. This page tries again by itself.</p>` : page.view(), element('page'));
  // A row that has moved takes the focus with it.
  if (href && focused?.getAttribute('href') !== href) /** @type {any} */ (element('page').querySelector(`[href="${CSS.escape(href)}"]`))?.focus();
}

/** What is made to go wrong is seen on every page. */
function armed({ rules, held, outage_s: outage, clock_ahead_s: ahead, clock_scale: scale }) {
  const all = [
    outage === null ? '' : `outage ${time(outage)}`,
    rules && `${plural(rules, 'rule')} armed`,
    held && `${number(held)} held`,
    ahead >= 1 ? `clock +${time(ahead)}` : '',
    scale === 1 ? '' : `clock × ${scale}`,
  ].filter(Boolean);
  return all.length ? html`<a class="chip warn" href="/console/faults">${all.join(' · ')}</a>` : nothing;
}

/** The pages, and how many there are of what they list. */
const nav = ({ info, stats }) =>
  PAGES.filter(([key]) => info?.has_registry || !'is'.includes(key)).map(([, page, title]) => {
    const path = ROOT + page;
    const isHere = page ? location.pathname.startsWith(path) : location.pathname === path;
    const count = { groups: stats?.groups, clients: stats?.clients_connected }[page];
    return html`<a href=${path} aria-current=${isHere ? 'page' : nothing} data-count=${count === undefined ? nothing : number(count)}>${title}</a>`;
  });

const THEMES = { system: '◐', light: '☼', dark: '☾' };
const theme = () => document.documentElement.dataset.theme ?? '';

function setTheme(known) {
  document.documentElement.dataset.theme = known in THEMES ? known : 'system';
  localStorage.setItem('theme', theme());
}

function nextTheme() {
  const all = Object.keys(THEMES);
  setTheme(all[(all.indexOf(theme()) + 1) % all.length]);
  changed();
}

setTheme(localStorage.getItem('theme') ?? '');
document.addEventListener('click', (event) => {
  const link = /** @type {Element} */ (event.target).closest('a');
  if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  const href = link.getAttribute('href') ?? '';
  if (!href.startsWith(ROOT)) return;
  event.preventDefault();
  go(href);
});
addEventListener('popstate', arrive);
listen({
  go,
  back: () => !page.cancel?.() && page.back && go(page.back),
  pause: () => page.pause?.() ?? false,
});
on(changed);
setInterval(() => {
  if (document.hidden) return;
  page.tick?.();
  changed();
}, 1000);
arrive();
start();
