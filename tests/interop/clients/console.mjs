// The console in Debian's Chromium: node console.mjs ROUNDEL FOLDER. Starts its own brokers, and prints an
// outcome for each case.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import mqtt from 'mqtt';
import { chromium } from 'playwright-core';

const [program, folder] = process.argv.slice(2);
const WITHIN = 8000;

/** A broker of its own, and where it listens. */
async function startBroker(profile = 'standard', ports = {}) {
  const cwd = mkdtempSync(join(folder, 'broker-'));
  const own = Object.entries({ mqtt: 0, mqtts: 'off', http: 0, ...ports });
  const flags = own.flatMap(([name, port]) => [`--${name}-port`, String(port)]);
  const all = ['--ready', 'json', '--die-with-parent', '--profile', profile, ...flags];
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
    async api(method, path) {
      const answer = await fetch(http + path, { method });
      return answer.json();
    },
  };
}

/** A page that notes what it must not do. */
async function openPage(context, { mayFail = () => false } = {}) {
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

/** Waits until it is so; says `what` was missed. */
async function until(what, isSo) {
  const end = performance.now() + WITHIN;
  let last;
  for (;;) {
    last = await isSo();
    if (last === true) return;
    if (performance.now() > end) throw new Error(`${what}: ${JSON.stringify(last)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const text = (page, selector = 'main') => page.locator(selector).innerText();

/** What is written in the hub of the ring. */
const hub = (page) => page.locator('.hub-number').textContent();

function assert(isSo, what) {
  if (!isSo) throw new Error(what);
}

/** All files together are small, also as a proxy would send them. */
function assertSmall() {
  const console_ = fileURLToPath(new URL('../../../console/', import.meta.url));
  const files = readdirSync(console_, { recursive: true }).filter((path) => /\.(js|css|html|svg)$/.test(path));
  const zipped = files.map((path) => gzipSync(readFileSync(join(console_, path))).length);
  const all = zipped.reduce((sum, size) => sum + size, 0);
  assert(files.length > 20 && all <= 60_000, `${files.length} files have ${all} bytes`);
}

/** A broker without clients: each page says what there is not and how it comes to be there. */
async function empty(browser) {
  assertSmall();
  const broker = await startBroker('aws', { mqtt: 'off', mqtts: 0 });
  const context = await browser.newContext();
  const { page, faults } = await openPage(context, { mayFail: (text) => /404 .*\/v1\/(groups|clients)\//.test(text) });
  const welcome = await page.goto(`${broker.http}/`);
  assert(new URL(welcome.url()).pathname === '/console/', `taken to ${welcome.url()}`);
  await page.getByText('Nobody has connected yet').waitFor();
  const said = await text(page);
  const port = broker.port('mqtts');
  for (const part of [`mosquitto_sub -p ${port} --cafile ${broker.cwd}/certs/ca.pem`, 'roundel cert demo', `127.0.0.1:${port}`])
    assert(said.includes(part), `no '${part}' in ${said}`);
  for (const [language, part] of [
    ['Python', 'tls_set'],
    ['Node', `mqtts://localhost:${port}`],
    ['Rust', `"localhost", ${port}`],
    ['AWS CLI', `--endpoint-url http://localhost:${broker.port('http')}`],
  ]) {
    await page.getByRole('button', { name: language }).click();
    await page.locator('pre', { hasText: part }).first().waitFor();
  }
  for (const [path, expected] of [
    ['groups', 'Nobody subscribes to a shared filter'],
    ['clients', 'No client is connected'],
    ['groups/g/x%2F%23', 'There is no such group now'],
    ['clients/nobody', 'There is no session of this client'],
    ['clients/%ff', 'No such page'],
    ['nothing', 'No such page'],
  ]) {
    await page.goto(`${broker.http}/console/${path}`);
    await page.getByText(expected).first().waitFor();
  }
  await context.close();
  await broker.stop();
  return faults;
}

/** The ring goes round, a member dies and its messages go to the next. */
async function group(browser) {
  const broker = await startBroker();
  const context = await browser.newContext();
  const { page, faults } = await openPage(context);
  await page.goto(`${broker.http}/console/groups`);
  await page.getByText('Nobody subscribes').waitFor();
  const members = [];
  for (const id of ['w1', 'w2', 'w3']) {
    const member = await broker.connect(id, { properties: { receiveMaximum: 5 } });
    // Nothing is acknowledged.
    member.handleMessage = () => {};
    await member.subscribeAsync('$share/workers/cars/#', { qos: 1 });
    members.push(member);
  }
  await page.locator('[data-row]', { hasText: 'workers' }).click();
  await page.waitForURL('**/console/groups/workers/cars%2F%23');
  await until('three members in the ring', async () => (await page.locator('.ring .node').count()) === 3);
  await page.getByText('Nothing has happened since this page opened').waitFor();
  const publisher = await broker.connect('publisher');
  const row = (id) => page.locator('tbody tr', { hasText: id });
  for (let number = 1; number <= 4; number += 1) {
    const last = page.locator('.steps-log li').first();
    await publisher.publishAsync(`cars/${number}`, 'x', { qos: 1 });
    const who = `w${((number - 1) % 3) + 1}`;
    await until(`#${number} at ${who}`, async () => {
      const [log, label] = [await last.innerText().catch(() => ''), await hub(page)];
      return (log.includes(`#${number} → ${who}`) && label === `#${number}`) || `${log} ${label}`;
    });
  }
  await until('w2 is next', async () => (await row('w2').getAttribute('class')) === 'next');
  await until('w1 has two', async () => (await row('w1').innerText()).includes('2/5'));
  members[0].stream.destroy();
  await until('both of w1 again', async () => {
    const log = await text(page, '.steps-log');
    return (/#1 w1 ⟶ w[23] again/.test(log) && /#4 w1 ⟶ w[23] again/.test(log)) || log;
  });
  await until('two members in the ring', async () => (await page.locator('.ring .node').count()) === 2);
  // Paused, the picture stays.
  await page.getByRole('button', { name: 'Pause' }).click();
  await publisher.publishAsync('cars/5', 'x', { qos: 1 });
  await until('the broker goes on', async () => (await broker.api('GET', '/v1/groups?members=0')).groups[0].number === 5);
  assert((await hub(page)) === '#4', 'the picture has not been paused');
  await page.getByRole('button', { name: 'Go on' }).click();
  await until('#5', async () => (await hub(page)) === '#5');
  for (const one of [...members, publisher]) one.end(true);
  await page.getByText('There is no such group now').waitFor();
  await context.close();
  await broker.stop();
  return faults.filter((fault) => !/404/.test(fault));
}

/** 150 clients: pages of the broker, search, disconnect with a reason, the end of a session. */
async function clients(browser) {
  const broker = await startBroker();
  const context = await browser.newContext();
  const { page, faults } = await openPage(context, { mayFail: (text) => /404/.test(text) });
  const ids = Array.from({ length: 150 }, (_, at) => `car-${String(at).padStart(3, '0')}`);
  const lasting = { clean: false, properties: { sessionExpiryInterval: 3600 } };
  const all = await Promise.all(ids.map((id) => broker.connect(id, lasting)));
  await all[7].subscribeAsync(['cars/7/#', '$share/g/cars/#'], { qos: 1 });
  all[8].end(true);
  await page.goto(`${broker.http}/console/clients`);
  const rows = page.locator('main tbody tr');
  await until('150 clients', async () => (await text(page, '.count')) === '150 clients' && (await rows.count()) === 100);
  await page.getByRole('link', { name: 'Next page' }).click();
  await until('the rest', async () => (await rows.count()) === 50);
  await page.goBack();
  await until('the first page', async () => (await rows.count()) === 100);
  await page.getByRole('button', { name: 'Away' }).click();
  await until('one is away', async () => (await rows.count()) === 1 && (await text(page, 'main tbody')).includes('car-008'));
  await page.getByRole('button', { name: 'All' }).click();
  await page.getByRole('searchbox').fill('car-007');
  await until('one is found', async () => (await rows.count()) === 1);
  assert(new URL(page.url()).searchParams.get('q') === 'car-007', page.url());
  await page.reload();
  await until('the same after a reload', async () => (await rows.count()) === 1);
  await page.getByRole('link', { name: 'car-007' }).click();
  await page.getByRole('heading', { name: 'car-007' }).waitFor();
  await page.getByText('2 subscriptions').waitFor();
  const gone = once(all[7], 'disconnect');
  await page.getByRole('button', { name: 'Disconnect' }).click();
  await page.getByRole('combobox').selectOption('0x9C');
  await page.locator('.ask').getByRole('button', { name: 'Disconnect' }).click();
  const [packet] = await gone;
  assert(packet.reasonCode === 0x9c, `reason ${packet.reasonCode}`);
  await page.getByText('kicked by operator, 0x9C').waitFor();
  // Its session goes on.
  await page.getByText('2 subscriptions').waitFor();
  await page.getByRole('button', { name: 'End session' }).click();
  await page.locator('.ask', { hasText: '2 subscriptions' }).getByRole('button', { name: 'End the session' }).click();
  await page.getByText('There is no session of this client any more').waitFor();
  for (const one of all) one.end(true);
  await context.close();
  await broker.stop();
  return faults;
}

/** Names that want to be markup, or to be read otherwise: they are text on every page. */
async function hostile(browser) {
  const broker = await startBroker();
  const context = await browser.newContext();
  const { page, faults } = await openPage(context);
  const markup = '<img src=x onerror=alert(1)><script>alert(2)</script>';
  const id = `${markup}\u202egnp.exe`;
  const share = '"><svg onload=alert(3)>{{7*7}}${7*7}';
  const filter = 'a/javascript:alert(4)/<b>/#';
  const will = { topic: `w/${markup}`, payload: markup, qos: 1 };
  const client = await broker.connect(id, { will, username: markup });
  client.handleMessage = () => {};
  await client.subscribeAsync([`$share/${share}/${filter}`, `plain/${markup}\u200b`], { qos: 1 });
  const alike = await broker.connect('c\u0430r1');
  await alike.publishAsync(`a/javascript:alert(4)/<b>/${markup}`, markup, { qos: 1 });
  for (const [path, parts] of [
    ['', ['<svg onlo']],
    ['groups', ['<svg onload', '<b>']],
    [`groups/${encodeURIComponent(share)}/${encodeURIComponent(filter)}`, [share, '⟨U+202E⟩gnp.exe']],
    ['clients', ['⟨U+202E⟩gnp.exe', '≈']],
    [`clients/${encodeURIComponent(id)}`, ['<script>', '⟨U+202E⟩gnp.exe', '⟨U+200B⟩']],
  ]) {
    await page.goto(`${broker.http}/console/${path}`);
    await until(`'${parts}' at /${path}`, async () => {
      const said = await text(page);
      return parts.every((part) => said.replaceAll('\n', '').includes(part)) || said;
    });
    const made = await page.locator('main img, main script, main b, main [onload], main [onerror]').count();
    assert(made === 0, `elements of names at /${path}`);
    const links = await page.locator('a').evaluateAll((all) => all.map((one) => one.getAttribute('href')));
    assert(links.every((href) => /^(\/console\/|#page$)/.test(href)), `links ${links}`);
  }
  client.end(true);
  alike.end(true);
  await context.close();
  await broker.stop();
  return faults;
}

/** Everything by keys. */
async function keys(browser) {
  const broker = await startBroker();
  const context = await browser.newContext();
  const { page, faults } = await openPage(context);
  const member = await broker.connect('w1');
  await member.subscribeAsync('$share/g/x', { qos: 1 });
  await page.goto(`${broker.http}/console/`);
  await page.getByText('Messages in').waitFor();
  const at = (path) => until(`at ${path}`, async () => new URL(page.url()).pathname === path || page.url());
  const press = (...all) => all.reduce((before, key) => before.then(() => page.keyboard.press(key)), Promise.resolve());
  await press('g', 'g');
  await at('/console/groups');
  await page.locator('[data-row]').waitFor();
  await press('ArrowDown', 'Enter');
  await at('/console/groups/g/x');
  await page.locator('.ring').waitFor();
  await press('Space');
  await page.getByText('The picture is paused').waitFor();
  await press('Space', 'Escape');
  await at('/console/groups');
  await press('g', 'c');
  await at('/console/clients');
  await page.locator('[data-row]').waitFor();
  await press('/');
  await page.keyboard.type('w1');
  await until('a filter', async () => new URL(page.url()).searchParams.get('q') === 'w1');
  await press('Escape', 'j', 'Enter');
  await at('/console/clients/w1');
  await press('?');
  await page.getByRole('dialog').waitFor();
  await press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'hidden' });
  await at('/console/clients/w1');
  await press('Escape');
  await at('/console/clients');
  // The focus is seen, and Tab reaches the content past the navigation.
  await page.goto(`${broker.http}/console/clients`);
  await page.locator('[data-row]').waitFor();
  await press('Tab', 'Enter', 'Tab');
  const inside = await page.evaluate(() => document.querySelector('main').contains(document.activeElement));
  assert(inside, 'the first link does not lead to the content');
  member.end(true);
  await context.close();
  await broker.stop();
  return faults;
}

/** The broker goes away under the page, and another one comes to its place. */
async function restart(browser) {
  const first = await startBroker();
  const context = await browser.newContext();
  const { page, faults } = await openPage(context, { mayFail: (text) => /net::ERR_/.test(text) });
  const client = await first.connect('before');
  await page.goto(`${first.http}/console/clients`);
  await page.getByText('before').waitFor();
  await first.stop('SIGKILL');
  client.end(true);
  await page.getByText('no connection').waitFor();
  // The last picture stays, and is seen to be old.
  assert((await text(page)).includes('before'), 'the picture is gone');
  assert(await page.evaluate(() => document.body.classList.contains('stale')), 'it looks as if it were fresh');
  const second = await startBroker('standard', { http: first.port('http'), mqtt: first.port('mqtt') });
  const other = await second.connect('after');
  await page.getByText('after', { exact: true }).waitFor();
  await until('live', async () => (await text(page, '#tools [role=status]')) === 'live');
  assert(!(await text(page)).includes('before'), 'what the first broker had is still there');
  other.end(true);
  await context.close();
  await second.stop();
  return faults;
}

/** Nobody is kept out: axe finds nothing, in either theme. */
async function axe(browser) {
  const broker = await startBroker();
  // What looks at the page is no part of it.
  const context = await browser.newContext({ bypassCSP: true, reducedMotion: 'reduce' });
  const { page, faults } = await openPage(context);
  const member = await broker.connect('w1', { will: { topic: 'w', payload: 'x', qos: 0 } });
  await member.subscribeAsync(['$share/g/x/#', 'y'], { qos: 1 });
  const away = await broker.connect('w2', { clean: false, properties: { sessionExpiryInterval: 3600 } });
  await away.subscribeAsync(['$share/g/x/#', '$share/h/z'], { qos: 1 });
  await away.endAsync();
  await member.publishAsync('x/1', 'x', { qos: 1 });
  await member.publishAsync('z', 'x', { qos: 1 });
  const rules = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
  for (const path of ['', 'groups', 'groups/g/x%2F%23', 'clients', 'clients/w1']) {
    await page.goto(`${broker.http}/console/${path}`);
    await page.locator('main [data-row]').first().waitFor();
    await page.evaluate(rules);
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme });
      const { violations } = await page.evaluate(() => globalThis.axe.run());
      for (const { id, nodes } of violations) faults.push(`${colorScheme} /${path}: ${id}: ${nodes[0].html}`);
    }
  }
  member.end(true);
  await context.close();
  await broker.stop();
  return faults;
}

/** Ten pages do not hold up a stop. */
async function stop(browser) {
  const broker = await startBroker();
  // A browser has six connections to a broker, so five pages of one have a stream and room to ask.
  const contexts = await Promise.all([browser.newContext(), browser.newContext()]);
  await Promise.all(
    Array.from({ length: 10 }, async (_, at) => {
      const page = await contexts[at % 2].newPage();
      await page.goto(`${broker.http}/console/`);
      await page.getByText('live').waitFor({ timeout: WITHIN });
    }),
  );
  const took = await broker.stop();
  assert(took < 1000, `the broker took ${Math.round(took)} ms to stop`);
  console.log(`figure: a stop with ten pages open took ${Math.round(took)} ms`);
  await Promise.all(contexts.map((context) => context.close()));
  return [];
}

/** A hidden page asks for nothing, and is told nothing. */
async function hidden(browser) {
  const broker = await startBroker();
  const context = await browser.newContext();
  const { page, faults } = await openPage(context);
  const member = await broker.connect('w1');
  await member.subscribeAsync('$share/g/x', { qos: 1 });
  await page.goto(`${broker.http}/console/groups/g/x`);
  await page.locator('.ring .node').waitFor();
  const hide = (isHidden) =>
    page.evaluate((isHidden) => {
      Object.defineProperty(document, 'hidden', { configurable: true, get: () => isHidden });
      document.dispatchEvent(new Event('visibilitychange'));
    }, isHidden);
  const requests = [];
  page.on('request', (request) => requests.push(request.url()));
  await hide(true);
  const held = async () => (await broker.api('GET', '/v1/stats')).memory_bytes_by_kind.http;
  // What one stream is charged, and the connection of whoever asks.
  await until('no stream', async () => (await held()) < 100000 || held());
  requests.length = 0;
  for (let number = 0; number < 5; number += 1) await member.publishAsync('x', 'y', { qos: 1 });
  await new Promise((resolve) => setTimeout(resolve, 1500));
  assert(requests.length === 0, `asked while hidden: ${requests}`);
  await hide(false);
  await until('#5', async () => (await hub(page)) === '#5');
  member.end(true);
  await context.close();
  await broker.stop();
  return faults;
}

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

/** Runs cases, some at one time, and prints their outcomes in order. */
async function runAll(cases, atOnce) {
  const waiting = Object.entries(cases).map(([name, run]) => ({ name, run, outcome: undefined }));
  const all = [...waiting];
  const lane = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const began = performance.now();
      let error;
      try {
        error = (await next.run(browser)).join('; ');
      } catch (thrown) {
        error = thrown.stack;
      }
      const took = Math.round(performance.now() - began);
      next.outcome = { case: next.name, ok: !error, error: error || undefined, took };
    }
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
  for (const { outcome } of all) console.log(JSON.stringify(outcome));
}

const cases = { empty, group, clients, hostile, keys, restart, hidden, axe };
const only = process.env.ROUNDEL_TEST_CASE;
if (only) {
  await runAll({ [only]: { ...cases, stop }[only] }, 1);
} else {
  await runAll(cases, 3);
  // Beside nothing else: it is measured.
  await runAll({ stop }, 1);
}
await browser.close();
process.exit(0);
