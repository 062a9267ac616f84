// What all pages have in common.

import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { assert, finish, hub, openPage, startBroker, text, until, WITHIN } from './harness.mjs';

/** All files together are small, also as a proxy would send them. */
function assertSmall() {
  const console_ = fileURLToPath(new URL('../../../../console/', import.meta.url));
  const files = readdirSync(console_, { recursive: true }).filter((path) => /\.(js|css|html|svg)$/.test(path));
  const zipped = files.map((path) => gzipSync(readFileSync(join(console_, path))).length);
  const all = zipped.reduce((sum, size) => sum + size, 0);
  assert(files.length >= 20 && all <= 60_000, `${files.length} files have ${all} bytes`);
}

/** A broker without clients: each page says what there is not and how it comes to be there. */
export async function empty(browser) {
  assertSmall();
  const broker = await startBroker('aws', { mqtt: 'off', mqtts: 0 });
  const context = await browser.newContext();
  const { page, faults } = await openPage(context, { mayFail: (text) => /404 .*\/v1\/(groups|clients|journal|identity|shadows)\//.test(text) });
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
    ['AWS CLI', `roundel env --http localhost:${broker.port('http')}`],
  ]) {
    await page.getByRole('button', { name: language }).click();
    await page.locator('pre', { hasText: part }).first().waitFor();
  }
  for (const [path, expected] of [
    ['groups', 'Nobody subscribes to a shared filter'],
    ['clients', 'No client is connected'],
    ['topics', 'Choose a topic'],
    ['topics/nothing%2Fthere', 'Nothing was published to it'],
    ['groups/g/x%2F%23', 'There is no such group now'],
    ['clients/nobody', 'There is no session of this client'],
    ['identity', 'iot create-thing --thing-name car1'],
    ['identity?kind=certificates', 'roundel cert car1'],
    ['identity?kind=policies', 'roundel registry import'],
    ['identity?kind=refusals', 'Nothing was refused'],
    ['identity?q=x', 'No name here has that in it'],
    ['identity/things/nobody', 'nobody'],
    ['identity/explain', 'the answer is what decides'],
    ['shadows', 'iot-data update-thing-shadow'],
    ['shadows/nobody', 'No shadow exists'],
    ['messages', 'The journal is off'],
    ['messages/7', 'there is no row 7 yet'],
    ['test', 'Messages come here'],
    ['clients/%ff', 'No such page'],
    ['faults', 'No rule is armed'],
    ['nothing', 'No such page'],
  ]) {
    await page.goto(`${broker.http}/console/${path}`);
    await page.getByText(expected).first().waitFor();
  }
  await finish(context, broker);
  return faults;
}

/** Names that want to be markup, or to be read otherwise: they are text on every page. */
export async function hostile(browser) {
  const broker = await startBroker('standard', {}, ['--journal']);
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
  await broker.api('GET', '/v1/topics/levels');
  await alike.publishAsync(`a/javascript:alert(4)/<b>/${markup}`, markup, { qos: 1 });
  await broker.api('POST', '/v1/rules', { name: markup, match: { client: id, topic: filter }, do: 'hold' });
  await alike.publishAsync(`a/javascript:alert(4)/<b>/${markup}`, markup, { qos: 1 });
  for (const [path, parts] of [
    ['', ['<svg onlo']],
    ['faults', ['<img src=x', '⟨U+202E⟩gnp.exe', 'javascript:alert(4)/<b>/', 'by <img src=x']],
    [`faults?client=${encodeURIComponent(id)}&name=${encodeURIComponent(markup)}`, ['expires after seconds']],
    ['groups', ['<svg onload', '<b>']],
    [`groups/${encodeURIComponent(share)}/${encodeURIComponent(filter)}`, [share, '⟨U+202E⟩gnp.exe']],
    ['clients', ['⟨U+202E⟩gnp.exe', '≈']],
    [`clients/${encodeURIComponent(id)}`, ['<script>', '⟨U+202E⟩gnp.exe', '⟨U+200B⟩']],
    [`topics/${encodeURIComponent(`a/javascript:alert(4)/<b>/${markup}`)}`, ['<b>', '<img src=x onerror=alert(1)>', 'c\u0430r1', 'svg onload']],
    ['messages', ['⟨U+202E⟩gnp.exe', '<img src=x', '≈']],
    ['messages/1', [markup, '⟨U+202E⟩gnp.exe']],
    [`test?filter=${encodeURIComponent(markup)}`, ['Subscribe']],
  ]) {
    await page.goto(`${broker.http}/console/${path}`);
    await until(`'${parts}' at /${path}`, async () => {
      const said = await text(page);
      return parts.every((part) => said.replaceAll('\n', '').includes(part)) || said;
    });
    const title = await page.title();
    assert(!/[\u200b\u202e]/.test(title), `the title ${JSON.stringify(title)}`);
    const made = await page.locator('main img, main script, main b, main [onload], main [onerror]').count();
    assert(made === 0, `elements of names at /${path}`);
    const links = await page.locator('a').evaluateAll((all) => all.map((one) => one.getAttribute('href')));
    assert(links.every((href) => /^(\/console\/|\/v1\/journal\?|#page$)/.test(href)), `links ${links}`);
  }
  await finish(context, broker, client, alike);
  return faults;
}

/** Everything by keys. */
export async function keys(browser) {
  const broker = await startBroker('aws', { mqtt: 0 });
  const context = await browser.newContext();
  const { page, faults } = await openPage(context);
  const member = await broker.connect('w1');
  await member.subscribeAsync('$share/g/x', { qos: 1 });
  // AWS has no $SYS topics: without this one the tree has no row.
  await member.publishAsync('cars/1', 'x', { qos: 1, retain: true });
  await page.goto(`${broker.http}/console/`);
  await page.getByText('Messages in').waitFor();
  const at = (path) => until(`at ${path}`, async () => new URL(page.url()).pathname === path || page.url());
  const press = (...all) => all.reduce((before, key) => before.then(() => page.keyboard.press(key)), Promise.resolve());
  await press('g', 'g');
  await at('/console/groups');
  // The overview, which may still be seen, has the group too.
  await page.locator('tbody [data-row]').waitFor();
  await press('ArrowDown', 'Enter');
  await at('/console/groups/g/x');
  await page.locator('.ring').waitFor();
  await press('Space');
  await page.getByText('The picture is paused').waitFor();
  await press('Space', 'Escape');
  await at('/console/groups');
  await press('g', 'i');
  await at('/console/identity');
  await press('g', 's');
  await at('/console/shadows');
  await press('g', 'f');
  await at('/console/faults');
  await press('g', 'c');
  await at('/console/clients');
  await page.locator('[data-row]').waitFor();
  await press('/');
  await page.keyboard.type('w1');
  await until('a filter', async () => new URL(page.url()).searchParams.get('q') === 'w1');
  await press('Escape', 'j', 'Enter');
  await at('/console/clients/w1');
  await press('g', 't');
  await at('/console/topics');
  await page.locator('[data-row]').first().waitFor();
  await press('g', 'm');
  await at('/console/messages');
  await page.getByText('The journal is off').waitFor();
  await press('g', 'p');
  await at('/console/test');
  await press('g', 'c');
  await page.locator('[data-row]').waitFor();
  await press('j', 'Enter');
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
  await finish(context, broker, member);
  return faults;
}

/** The broker goes away under the page, and another one comes to its place. */
export async function restart(browser) {
  const first = await startBroker();
  const context = await browser.newContext();
  const { page, faults } = await openPage(context, { mayFail: (text) => /net::ERR_/.test(text) });
  const client = await first.connect('before');
  await page.goto(`${first.http}/console/clients`);
  await page.getByText('before').waitFor();
  await until('live', async () => (await text(page, '#tools [role=status]')) === 'live');
  await first.stop('SIGKILL');
  client.end(true);
  await page.getByText('no connection').waitFor();
  // The last picture stays, and is seen to be old.
  const last = await text(page);
  assert(last.includes('before'), `the picture is gone: ${last}`);
  assert(await page.evaluate(() => document.body.classList.contains('stale')), 'it looks as if it were fresh');
  const second = await startBroker('standard', { http: first.port('http'), mqtt: first.port('mqtt') });
  const other = await second.connect('after');
  await page.getByText('after', { exact: true }).waitFor();
  await until('live', async () => (await text(page, '#tools [role=status]')) === 'live');
  assert(!(await text(page)).includes('before'), 'what the first broker had is still there');
  await finish(context, second, other);
  return faults;
}

/** Nobody is kept out: axe finds nothing, in either theme. */
export async function axe(browser) {
  const broker = await startBroker('standard', {}, ['--journal']);
  // What looks at the page is no part of it.
  const context = await browser.newContext({ bypassCSP: true, reducedMotion: 'reduce' });
  const { page, faults } = await openPage(context);
  const member = await broker.connect('w1', { will: { topic: 'w', payload: 'x', qos: 0 } });
  await member.subscribeAsync(['$share/g/x/#', 'y'], { qos: 1 });
  const away = await broker.connect('w2', { clean: false, properties: { sessionExpiryInterval: 3600 } });
  await away.subscribeAsync(['$share/g/x/#', '$share/h/z'], { qos: 1 });
  await away.endAsync();
  await broker.api('GET', '/v1/topics/levels');
  await member.publishAsync('x/1', '{"n": 1}', { qos: 1, retain: true });
  await member.publishAsync('x/1', '{"n": 2}', { qos: 1 });
  await member.publishAsync('z', 'x', { qos: 1 });
  const rules = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
  await broker.api('POST', '/v1/rules', { match: { type: 'PUBLISH', client: 'w1', topic: 'held' }, do: 'hold' });
  await member.subscribeAsync('held');
  await member.publishAsync('held', 'x');
  for (const path of ['', 'groups', 'groups/g/x%2F%23', 'clients', 'clients/w1', 'topics/x%2F1', 'messages', 'messages/1', 'test', 'faults']) {
    await page.goto(`${broker.http}/console/${path}`);
    await page.locator('main [data-row], main summary').first().waitFor();
    await page.evaluate(rules);
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme });
      const { violations } = await page.evaluate(() => globalThis.axe.run());
      for (const { id, nodes } of violations) faults.push(`${colorScheme} /${path}: ${id}: ${nodes[0].html}`);
    }
  }
  await finish(context, broker, member);
  return faults;
}

/** Ten pages do not hold up a stop. */
export async function stop(browser) {
  const broker = await startBroker();
  // The windows of one browser have four streams.
  const contexts = await Promise.all([browser.newContext(), browser.newContext(), browser.newContext()]);
  await Promise.all(
    Array.from({ length: 10 }, async (_, at) => {
      const page = await contexts[at % 3].newPage();
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
export async function hidden(browser) {
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
  await finish(context, broker, member);
  return faults;
}
