// @ts-check
// The frame: which page an address is, when it is drawn, and what stands above all pages.

import { html, nothing, render } from './vendor/lit-html/lit-html.js';
import { on, start, state } from './store.js';
import { showHelp } from './parts/help.js';
import { listen } from './parts/keys.js';
import { number, plural, time } from './parts/text.js';
import { open as client } from './pages/client.js';
import { open as clients } from './pages/clients.js';
import { open as faults } from './pages/faults.js';
import { open as group } from './pages/group.js';
import { open as groups } from './pages/groups.js';
import { open as identity, openExplain as explain, openOne as resource, openShadow as shadow } from './pages/identity.js';
import { open as message } from './pages/message.js';
import { open as messages } from './pages/messages.js';
import { open as overview } from './pages/overview.js';
import { open as test } from './pages/test.js';
import { open as topics } from './pages/topics.js';

/** @typedef {{ title: string, view: () => unknown, close: () => void, update?: () => void, tick?: () => void, pause?: () => boolean, cancel?: () => boolean, back?: string }} Page */

const PAGES = /** @type {[RegExp, (changed: () => void, route: any) => Page][]} */ ([
  [/^\/console\/$/, overview],
  [/^\/console\/groups$/, groups],
  [/^\/console\/groups\/([^/]+)\/([^/]+)$/, group],
  [/^\/console\/clients$/, clients],
  [/^\/console\/clients\/([^/]+)$/, client],
  [/^\/console\/topics(?:\/([^/]+))?$/, topics],
  [/^\/console\/identity$/, identity],
  [/^\/console\/identity\/explain$/, explain],
  [/^\/console\/identity\/([^/]+)\/([^/]+)$/, resource],
  [/^\/console\/shadows$/, identity],
  [/^\/console\/shadows\/([^/]+)\/?([^/]*)$/, shadow],
  [/^\/console\/messages$/, messages],
  [/^\/console\/messages\/([^/]+)$/, message],
  [/^\/console\/test$/, test],
  [/^\/console\/faults$/, faults],
]);

const element = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** @type {Page | null} */
let page = null;
let address = '';

const SLOW = 'All streams are taken, by other windows of this browser or by others: this page asks every 2 s';

/** The address as a page sees it. */
function route(/** @type {string[]} */ parts) {
  const query = new URLSearchParams(location.search);
  /** @param {Record<string, string>} values */
  const href = (values) => {
    const changed = new URLSearchParams(location.search);
    for (const [name, value] of Object.entries(values)) value ? changed.set(name, value) : changed.delete(name);
    const text = changed.toString();
    return location.pathname + (text && `?${text}`);
  };
  return {
    parts,
    query,
    href,
    /** Gives the page another address, with which it goes on. @param {string} to */
    move(to) {
      history.pushState(null, '', to);
      address = to;
      changed();
    },
    /** Changes the query of the page without leaving it. @param {Record<string, string>} values */
    set(values) {
      history.replaceState(null, '', href(values));
      this.query = new URLSearchParams(location.search);
      address = location.pathname + location.search;
      page?.update?.();
      changed();
    },
  };
}

/** A page that there is not. @returns {Page} */
const unknown = () => ({
  title: 'No such page',
  close() {},
  view: () => html`<h1>No such page</h1><p>There is nothing at this address. <a href="/console/">Overview</a></p>`,
});

/** Opens the page of the address. */
function arrive() {
  address = location.pathname + location.search;
  page?.close();
  page = null;
  for (const [pattern, open] of PAGES) {
    const found = location.pathname.match(pattern);
    if (!found) continue;
    try {
      page = open(changed, route(found.slice(1).map((part) => decodeURIComponent(part ?? ''))));
    } catch (error) {
      if (!(error instanceof URIError)) throw error;
    }
    break;
  }
  page ??= unknown();
  document.title = `${page.title} · Roundel`;
  for (const link of element('nav').querySelectorAll('a')) {
    const path = link.getAttribute('href') ?? '';
    const isHere = path === '/console/' ? location.pathname === path : location.pathname.startsWith(path);
    isHere ? link.setAttribute('aria-current', 'page') : link.removeAttribute('aria-current');
  }
  changed();
}

/** @param {string} to */
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
  const { info, stats, link } = state;
  const age = state.heard ? (performance.now() - state.heard) / 1000 : 0;
  render(
    info
      ? html`<span class="chip">${info.profile}</span>
          <span class="wide">${info.version}</span>
          ${stats ? html`<span class="wide">up ${time(stats.uptime_s)}</span>` : nothing}
          ${stats ? armed(stats.faults) : nothing}`
      : nothing,
    element('facts'),
  );
  const words = { live: 'live', connecting: 'connecting', slow: 'every 2 s', paused: 'asleep', lost: 'no connection' };
  render(
    html`<span class="link ${link}" title=${link === 'slow' ? SLOW : nothing}><span role="status">${words[link]}</span>${link === 'lost' && state.heard ? html` <small>as of ${time(age)} ago</small>` : nothing}</span>
      <button class="tool" title="Theme: ${theme()}" aria-label="Theme: ${theme()}" @click=${nextTheme}>${{ system: '◐', light: '☼', dark: '☾' }[theme()]}</button>
      <button class="tool" title="Keys" aria-label="Keys" @click=${showHelp}>?</button>`,
    element('tools'),
  );
  document.body.classList.toggle('stale', link === 'lost');
  counts();
  document.body.classList.toggle('registry', info?.has_registry ?? false);
  const noscript = element('page').querySelector('noscript');
  noscript?.remove();
  if (!stats && link === 'lost') {
    render(html`<p class="note bad">The broker does not answer. This page tries again by itself.</p>`, element('page'));
  } else if (page) {
    render(page.view(), element('page'));
  }
}

/** What is made to go wrong is seen on every page. @param {any} faults */
function armed({ rules, held, outage_s: outage, clock_ahead_s: ahead, clock_scale: scale }) {
  const all = [
    outage === null ? '' : `outage ${time(outage)}`,
    rules && `${plural(rules, 'rule')} armed`,
    held && `${number(held)} held`,
    ahead >= 1 ? `clock +${time(ahead)}` : '',
    scale === 1 ? '' : `clock × ${scale}`,
  ];
  const text = all.filter(Boolean).join(' · ');
  return text ? html`<a class="chip warn" href="/console/faults">${text}</a>` : nothing;
}

/** How many there are, beside the names of the pages. */
function counts() {
  const { stats } = state;
  if (!stats) return;
  for (const [path, count] of [
    ['/console/groups', stats.groups],
    ['/console/clients', stats.clients_connected],
  ]) {
    const link = /** @type {HTMLElement | null} */ (element('nav').querySelector(`a[href="${path}"]`));
    if (link) link.dataset.count = number(/** @type {number} */ (count));
  }
}

const THEMES = /** @type {const} */ (['system', 'light', 'dark']);
/** @returns {'system' | 'light' | 'dark'} */
const theme = () => THEMES.find((known) => known === localStorage.getItem('theme')) ?? 'system';

function nextTheme() {
  const next = THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length];
  localStorage.setItem('theme', next);
  document.documentElement.dataset.theme = next;
  changed();
}

document.documentElement.dataset.theme = theme();
document.addEventListener('click', (event) => {
  const target = /** @type {Element} */ (event.target);
  const link = target.closest('a');
  if (!link || event.defaultPrevented || event.button !== 0) return;
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  const href = link.getAttribute('href') ?? '';
  if (!href.startsWith('/console/')) return;
  event.preventDefault();
  go(href);
});
addEventListener('popstate', arrive);
listen({
  go,
  back: () => {
    if (!page?.cancel?.() && page?.back) go(page.back);
  },
  help: showHelp,
  pause: () => page?.pause?.() ?? false,
});
on(changed);
setInterval(() => {
  if (document.hidden) return;
  page?.tick?.();
  changed();
}, 1000);
arrive();
start();
