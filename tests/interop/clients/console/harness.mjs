// What the cases of the console share: a broker of its own, a page that notes what it must not do, and waits.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import mqtt from 'mqtt';
import { chromium } from 'playwright-core';

const [program, folder] = process.argv.slice(2);
/** Milliseconds within which everything that is waited for has to come. */
export const WITHIN = 8000;

/** Debian's Chromium, which asks nobody for anything. */
export async function launch() {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
  const files = process.env.CONSOLE_FILES;
  if (files) serveFrom(browser, files);
  return browser;
}

/** Has the pages load their files from a folder instead of the program: nothing is built between a change and its test. */
function serveFrom(browser, files) {
  const open = browser.newContext.bind(browser);
  browser.newContext = async (options) => {
    const context = await open(options);
    await context.route('**/console/**', (route) => {
      const [, path = 'index.html'] = new URL(route.request().url()).pathname.split('/assets/');
      return route.fulfill({ path: join(files, path) });
    });
    return context;
  };
}

/** A broker of its own, and where it listens. */
export async function startBroker(profile = 'standard', ports = {}, more = [], config = '') {
  const cwd = mkdtempSync(join(folder, 'broker-'));
  const own = Object.entries({ mqtt: 0, mqtts: 'off', http: 0, ...ports });
  const flags = own.flatMap(([name, port]) => [`--${name}-port`, String(port)]);
  const all = ['--ready', 'json', '--die-with-parent', '--profile', profile, ...flags, ...more];
  if (config) {
    writeFileSync(join(cwd, 'own.toml'), config);
    all.push('--config', 'own.toml');
  }
  const child = spawn(program, all, { cwd, stdio: ['pipe', 'pipe', 'ignore'] });
  const lines = createInterface(child.stdout);
  const [line] = await Promise.race([once(lines, 'line'), once(child, 'exit').then(() => [''])]);
  if (!line) throw new Error(`the broker did not start: ${all.join(' ')}`);
  const { listeners } = JSON.parse(line);
  const port = (name) => Number(listeners[name]?.split(':').at(-1));
  const http = `http://${listeners.http}`;
  return {
    http,
    port,
    cwd,
    pid: child.pid,
    async stop(signal = 'SIGTERM') {
      const ended = once(child, 'exit');
      const began = performance.now();
      child.kill(signal);
      await ended;
      return performance.now() - began;
    },
    connect(clientId, options = {}) {
      const to = { host: '127.0.0.1', port: port('mqtt'), protocolVersion: 5, reconnectPeriod: 0, clientId };
      return mqtt.connectAsync({ ...to, ...options });
    },
    async api(method, path, body) {
      const headers = { 'content-type': 'application/json' };
      const answer = await fetch(http + path, body ? { method, headers, body: JSON.stringify(body) } : { method });
      return answer.json();
    },
  };
}

/** A page that notes what it must not do. */
export async function openPage(context, { mayFail = () => false } = {}) {
  const page = await context.newPage();
  page.setDefaultTimeout(WITHIN);
  const faults = [];
  page.on('dialog', (dialog) => {
    faults.push(`a dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on('pageerror', (error) => faults.push(`an error: ${error.message}`));
  page.on('console', (message) => {
    const text = `${message.text()} ${message.location().url}`;
    if (['error', 'warning'].includes(message.type()) && !mayFail(text)) faults.push(`on the console: ${text}`);
  });
  page.on('request', (request) => {
    const { hostname, protocol } = new URL(request.url());
    if (protocol !== 'data:' && hostname !== '127.0.0.1') faults.push(`a request to ${hostname}`);
  });
  return { page, faults };
}

/** The end of a case. Its pages are closed first: what they show must not go away under them. */
export async function finish(context, broker, ...clients) {
  await context.close();
  for (const client of clients) client.end(true);
  await broker.stop();
}

/** Waits until it is so; says `what` was missed. */
export async function until(what, isSo, within = WITHIN) {
  const end = performance.now() + within;
  let last;
  for (;;) {
    last = await isSo();
    if (last === true) return;
    if (performance.now() > end) throw new Error(`${what}: ${JSON.stringify(last)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** What axe finds on a page that is open, in both themes; its context has to bypass the CSP. */
export async function violationsOf(page) {
  await page.evaluate(readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8'));
  const found = [];
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    const { violations } = await page.evaluate(() => globalThis.axe.run());
    found.push(...violations.map(({ id, nodes }) => `${colorScheme} ${page.url()}: ${id}: ${nodes[0].html}`));
  }
  return found;
}

export const text = (page, selector = 'main') => page.locator(selector).innerText();

/** What is written in the hub of the ring. */
export const hub = (page) => page.locator('.hub-number').textContent();

export function assert(isSo, what) {
  if (!isSo) throw new Error(what);
}
