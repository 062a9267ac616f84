// The journal, row by row, and the test client.

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { assert, finish, openPage, startBroker, text, until } from './harness.mjs';

/** Off, switched on by the page, filtered, followed, taken apart, and downloaded. */
export async function messages(browser) {
  const broker = await startBroker();
  const context = await browser.newContext({ viewport: { width: 1100, height: 800 } });
  const { page, faults } = await openPage(context, { mayFail: (text) => /400 .*\/v1\/journal/.test(text) });
  await page.goto(`${broker.http}/console/messages`);
  await page.getByText('The journal is off').waitFor();
  await page.getByRole('button', { name: 'Switch the journal on' }).click();
  await page.getByText('there yet').waitFor();
  await page.mouse.move(5, 700);
  const worker = await broker.connect('w1', { username: 'me', password: 'very-secret' });
  await worker.subscribeAsync('$share/g/cars/#', { qos: 1 });
  const car = await broker.connect('car 1');
  const properties = { contentType: 'text/plain', userProperties: { unit: 'km/h' } };
  await car.publishAsync('cars/1', '{"speed":77}', { qos: 1, properties });
  await car.publishAsync('other', 'x', { qos: 0 });
  const row = (part) => page.locator('tbody tr', { hasText: part });
  await row('PUBLISH q0').waitFor();
  await until('one delivery', async () => (await row('PUBLISH q1').count()) === 2 || text(page));
  // The newest stand first, and stay where they are while somebody looks at them.
  const first = page.locator('tbody tr').first();
  await first.hover();
  const seen = await first.innerText();
  await car.publishAsync('other', 'y', { qos: 0 });
  await page.getByRole('button', { name: /^1 new/ }).waitFor();
  assert((await first.innerText()) === seen, 'rows have moved under the pointer');
  await page.mouse.move(5, 700);
  await until('the new row', async () => (await first.innerText()) !== seen);
  // What the broker finds; what is wrong with a filter it says.
  const field = page.getByRole('searchbox');
  await field.fill('type:publish client:"car 1" -topic:other');
  await until('one row', async () => (await page.locator('tbody tr').count()) === 1 || text(page));
  await field.fill('colour:red');
  await page.getByText("'colour' is none of the keys").waitFor();
  await field.fill('topic:cars/+ type:publish');
  await until('two rows', async () => (await page.locator('tbody tr').count()) === 2 || text(page));
  const links = await page.locator('a[download]').evaluateAll((all) => all.map((one) => one.href));
  const [capture, lines] = await Promise.all(links.map((href) => fetch(href)));
  const rows = (await lines.text()).trim().split('\n').map((line) => JSON.parse(line));
  assert(rows.length === 2 && rows.every(({ packet }) => packet.topic === 'cars/1'), 'other rows are downloaded');
  const bytes = Buffer.from(await capture.arrayBuffer());
  assert(bytes.readUInt32LE(0) === 0x0a0d0d0a, 'it is no pcapng');
  const file = join(broker.cwd, 'roundel.pcapng');
  writeFileSync(file, bytes);
  const shark = spawnSync('tshark', ['-r', file, '-T', 'fields', '-e', 'mqtt.topic']);
  if (!shark.error) assert(shark.stdout.toString() === 'cars/1\ncars/1\n', `tshark reads ${shark.stdout}${shark.stderr}`);

  // A field and its bytes, either way.
  await page.locator('[data-row]').last().click();
  await page.getByText('What it belongs to').waitFor();
  const topic = page.locator('.packet li', { hasText: 'Topic Name' });
  await topic.hover();
  const marked = () => page.locator('.dump span:nth-of-type(2) .mark').allInnerTexts();
  await until('the bytes of the topic', async () => (await marked()).join('') === '··cars/1' || marked());
  await page.locator('.dump i[data-at="0"]').first().hover();
  await page.locator('.packet li.mark', { hasText: 'Packet type' }).waitFor();
  await topic.focus();
  await until('the bytes again', async () => (await marked()).length === 8);
  for (const part of ['unit = km/h', '{"speed":77}']) assert((await text(page)).includes(part), `no ${part}`);
  // What came of it, and back.
  const own = new URL(page.url()).pathname;
  await page.locator('.links a', { hasText: '#' }).last().click();
  await page.getByText('Caused by').waitFor();
  await page.getByText('Answered by').waitFor();
  await page.locator('.links a[data-row]').first().click();
  await until('the cause', async () => new URL(page.url()).pathname === own);
  await page.getByRole('link', { name: 'this client' }).click();
  await until('its rows', async () => (await field.inputValue()) === 'client:"car 1"');

  // Passwords are not shown, in neither column.
  await field.fill('type:connect client:w1');
  await until('one row', async () => (await page.locator('tbody tr').count()) === 1 || text(page));
  await page.locator('[data-row]').click();
  await page.locator('.packet li', { hasText: /^Password/ }).waitFor();
  const dump = await text(page, '.dump');
  assert(!dump.includes('very-secret') && !/76\s*65\s*72\s*79/.test(dump), dump);

  await page.goto(`${broker.http}/console/messages`);
  await page.locator('tbody tr').first().waitFor();
  await page.getByRole('button', { name: 'Clear …' }).click();
  await page.getByText(/Forget \d+ rows/).waitFor();
  await page.getByRole('button', { name: 'Forget', exact: true }).click();
  await page.getByText('there yet').waitFor();
  await page.getByRole('button', { name: 'Switch off' }).click();
  await page.getByText('The journal is off').waitFor();
  await finish(context, broker, worker, car);
  return faults;
}

/** More than can be shown: the page stays quick, and says how much it leaves out. */
export async function messagesFlood(browser) {
  const broker = await startBroker();
  const context = await browser.newContext();
  const { page, faults } = await openPage(context);
  await page.goto(`${broker.http}/console/messages`);
  await page.getByRole('button', { name: 'Switch the journal on' }).click();
  await page.getByText('there yet').waitFor();
  await page.mouse.move(5, 700);
  const asked = [];
  page.on('request', (request) => request.url().includes('/v1/journal') && asked.push(performance.now()));
  const car = await broker.connect('car');
  const began = performance.now();
  for (let round = 0; round < 20; round += 1) {
    const all = Array.from({ length: 150 }, (_, at) => car.publishAsync(`t/${at}`, 'x', { qos: 0 }));
    await Promise.all([...all, new Promise((resolve) => setTimeout(resolve, 50))]);
  }
  await page.getByText('left out').first().waitFor();
  const seconds = (performance.now() - began) / 1000;
  assert(asked.length <= seconds * 4 + 2, `${asked.length} questions in ${seconds} s`);
  await until('the last row', async () => {
    const { last } = await broker.api('GET', '/v1/journal?limit=0');
    return (await text(page, 'tbody tr:first-child td:first-child')).trim() === `#${last}` || last;
  });
  const shown = await page.locator('tbody tr').count();
  assert(shown <= 100, `${shown} rows`);
  await finish(context, broker, car);
  return faults;
}

/** Subscribes as a client, publishes, and what came of it is found. */
export async function testClient(browser) {
  const broker = await startBroker('standard', {});
  const context = await browser.newContext({ viewport: { width: 1100, height: 900 } });
  const { page, faults } = await openPage(context, { mayFail: (text) => /400 .*\/v1\/(subscribe|publish)/.test(text) });
  await fetch(`${broker.http}/v1/journal`, { method: 'PUT', headers: { 'content-type': 'application/json' }, body: '{"on":true}' });
  await page.goto(`${broker.http}/console/test?filter=a/%23/b&topic=cars/7`);
  const subscribe = page.getByRole('button', { name: 'Subscribe', exact: true });
  await subscribe.click();
  await page.getByRole('alert').waitFor();
  const filter = page.getByLabel('Filter', { exact: true });
  for (const [wanted, shown] of [['$share/g/cars/#', 1], ['plain/+', 2]]) {
    await filter.fill(wanted);
    await page.locator('form').first().getByLabel('QoS').selectOption('1');
    await subscribe.click();
    await until(`${shown} subscriptions`, async () => (await page.locator('.tabs[aria-label=Subscriptions] button').count()) === shown);
  }
  const { clients } = await broker.api('GET', '/v1/clients');
  assert(clients.length === 1 && clients[0].client_id.startsWith('console-'), JSON.stringify(clients));
  assert(clients[0].subscriptions_total === 2, 'both are of one client');
  const detail = await context.newPage();
  await detail.goto(`${broker.http}/console/clients/${clients[0].client_id}`);
  await detail.getByText('SUBSCRIBE $share/g/cars/# (Granted QoS 1)').waitFor();
  await detail.close();
  const { members_total: members } = await broker.api('GET', '/v1/groups/g/cars%2F%23');
  assert(members === 1, 'it is no member');

  await page.getByLabel('Payload', { exact: true }).fill('{"speed":77}');
  await page.getByText('Properties', { exact: true }).click();
  for (const [label, value] of [
    ['Content type', 'application/json'],
    ['Response topic', 'answers'],
    ['Correlation data', 'number 5'],
    ['Message expiry interval', '60'],
    ['User properties', 'a=1\nb=2'],
    ['Topic alias', '3'],
  ])
    await page.getByLabel(label, { exact: true }).fill(value);
  await page.getByRole('button', { name: 'Publish', exact: true }).click();
  await page.getByText('Reached 0 clients, 1 group').waitFor();
  await page.locator('.tabs button', { hasText: '$share/g/cars/# 1' }).click();
  const got = page.locator('.messages li');
  await got.waitFor();
  const said = await got.innerText();
  for (const part of ['cars/7', '{"speed":77}', 'application/json', 'answers', 'a=1, b=2', '60']) assert(said.includes(part), `no ${part} in ${said}`);
  // The alias stands for the topic from now on.
  await page.getByLabel('Topic', { exact: true }).fill('');
  await page.getByRole('button', { name: 'Publish', exact: true }).click();
  await page.locator('.tabs button', { hasText: '$share/g/cars/# 2' }).waitFor();
  // Others are told apart by the subscription that they come for.
  const other = await broker.connect('other');
  await other.publishAsync('plain/x', Buffer.from([0xff, 0x00]), { qos: 1 });
  await page.locator('.tabs button', { hasText: 'plain/+ 1' }).click();
  await page.getByText('ff 00').waitFor();
  // It goes on while another page is looked at, on the one stream that it has.
  await page.getByRole('link', { name: 'What came of it' }).click();
  await page.getByText('Delivered: 1').waitFor();
  await other.publishAsync('plain/x', 'while away', { qos: 1 });
  await page.goBack();
  await page.locator('.tabs button', { hasText: 'plain/+ 2' }).click();
  await page.getByText('while away').waitFor();
  for (const left of [1, 0]) {
    await page.getByRole('button', { name: 'Unsubscribe' }).click();
    await until(`${left} left`, async () => (await page.locator('.tabs[aria-label=Subscriptions] button').count()) === left);
  }
  await until('the client is gone', async () => (await broker.api('GET', '/v1/clients')).total === 1);
  await finish(context, broker, other);
  return faults;
}
