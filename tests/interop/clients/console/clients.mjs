// The pages of clients.

import { once } from 'node:events';
import { assert, finish, openPage, startBroker, text, until } from './harness.mjs';

/** 150 clients: pages of the broker, search, disconnect with a reason, the end of a session. */
export async function clients(browser) {
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
  // By what they subscribe to, and where they came in.
  for (const [words, count] of [['filter:$share/g/', 1], ['filter:cars/8', 0], ['listener:mqtts', 0], ['listener:mqtt car-01', 10], ['cn:car', 0]]) {
    await page.getByRole('searchbox').fill(words);
    await until(`${count} for ${words}`, async () => (await text(page, '.count')) === `${count} clients`.replace(/^1 clients/, '1 client'));
  }
  await page.getByText('No client that cn:car finds among those that are connected.').waitFor();
  await page.getByRole('searchbox').fill('filter:cars/7 car');
  await page.getByRole('link', { name: 'car-007' }).click();
  await page.getByRole('heading', { name: 'car-007' }).waitFor();
  await page.getByText('2 subscriptions').waitFor();
  const gone = once(all[7], 'disconnect');
  await page.getByRole('button', { name: 'Disconnect' }).click();
  await page.getByRole('combobox').selectOption('0x9C');
  await page.locator('.ask').getByRole('button', { name: 'Disconnect' }).click();
  const [packet] = await gone;
  assert(packet.reasonCode === 0x9c, `reason ${packet.reasonCode}`);
  await page.locator('dd', { hasText: 'kicked by operator, 0x9C' }).waitFor();
  await page.locator('.steps-log li', { hasText: 'kicked by operator, 0x9c' }).waitFor();
  // Its session goes on.
  await page.getByText('2 subscriptions').waitFor();
  await page.getByRole('button', { name: 'End session' }).click();
  await page.locator('.ask', { hasText: '2 subscriptions' }).getByRole('button', { name: 'End the session' }).click();
  await page.getByText('There is no session of this client any more').waitFor();
  await finish(context, broker, ...all);
  return faults;
}
