// The page of topics.

import { assert, finish, openPage, startBroker, text, until } from './harness.mjs';

/** The tree by pointer and keys, rows that stay, a value that changes, the ways on, and what is deleted. */
export async function topics(browser) {
  const broker = await startBroker();
  const context = await browser.newContext();
  const { page, faults } = await openPage(context);
  const client = await broker.connect('car7');
  await client.subscribeAsync(['cars/+/data', '$share/workers/cars/#'], { qos: 1 });
  const publish = (topic, payload, options = {}) => client.publishAsync(topic, payload, { qos: 1, ...options });
  await publish('cars/7/state', 'kept', { retain: true });
  await publish('cars/7', 'kept, too', { retain: true });
  await page.goto(`${broker.http}/console/topics`);
  const item = (label) => page.getByRole('treeitem').filter({ hasText: label });
  // What was retained before is there, and opened as there is little.
  await item('state').filter({ hasText: 'retained' }).filter({ hasText: 'kept' }).waitFor();
  assert((await item('$SYS').getAttribute('aria-expanded')) === 'false', '$SYS is open');
  await page.mouse.move(0, 0);
  const number = '12345678901234567890';
  await publish('cars/7/data', `{"speed": 75, "n": ${number}, "doors": []}`);
  await item('data').click();
  await page.waitForURL('**/console/topics/cars%2F7%2Fdata');
  const detail = page.locator('.topics > section').last();
  await detail.getByText('1 message', { exact: true }).waitFor();
  // Its digits are those that were sent.
  assert((await text(page, 'pre')) === `{\n  "speed": 75,\n  "n": ${number},\n  "doors": []\n}`, await text(page, 'pre'));
  await publish('cars/7/data', `{"speed": 77, "n": ${number}, "doors": []}`);
  await until('a change', async () => {
    const [gone, come] = [await detail.locator('del').allInnerTexts(), await detail.locator('ins').allInnerTexts()];
    return `${gone}${come}` === '−   "speed": 75,\n+   "speed": 77,\n' || `${gone}${come}`;
  });
  await detail.getByText('2 messages', { exact: true }).waitFor();
  await detail.getByRole('button', { name: 'Hex' }).click();
  await detail.getByText('00000 7b 22 73 70').first().waitFor();
  assert(new URL(page.url()).searchParams.get('view') === 'hex', page.url());
  const links = await detail.locator('a').evaluateAll((all) => all.map((one) => one.getAttribute('href')));
  for (const link of ['/console/test?topic=cars%2F7%2Fdata', '/console/clients/car7', '/console/groups/workers/cars%2F%23'])
    assert(links.includes(link), `${link} in ${links}`);

  // Rows stay under who is there, and what is new is offered.
  const names = async () => (await page.locator('[role=treeitem] .name, [role=treeitem] em').allInnerTexts()).join(' ');
  await item('state').focus();
  const before = await names();
  for (const topic of ['cars/7/a', 'boats/1', '/', 'a//b', '100%2F/<b>']) await publish(topic, 'x');
  const offer = page.getByRole('button', { name: /^5 new$/ });
  await offer.waitFor();
  assert((await names()) === before, `${await names()}, and not ${before}`);
  await offer.click();
  await until('new rows', async () => (await names()) === 'empty $SYS 100%2F a boats cars 7 a data state' || names());
  // By keys alone: open, go in, back, close.
  const focused = () => page.evaluate(() => document.activeElement.textContent.replace(/\s+/g, ' ').trim());
  const press = async (key, expected) => {
    await page.keyboard.press(key);
    await until(`${key} leads to ${expected}`, async () => (await focused()).startsWith(expected) || focused());
  };
  await item('boats').focus();
  await press('Home', 'empty');
  await press('ArrowDown', '$SYS');
  await press('ArrowDown', '100%2F');
  await press('ArrowDown', 'a');
  await press('ArrowRight', 'a');
  await until('a is open, and the little below', async () => (await names()).includes('a empty b boats') || names());
  await press('ArrowRight', 'empty');
  await press('ArrowRight', 'b');
  await page.keyboard.press('Enter');
  await page.waitForURL(/console\/topics\/a%2F%2Fb/);
  await press('ArrowLeft', 'empty');
  await page.keyboard.press('ArrowLeft');
  await until('it is closed', async () => (await names()).includes('a empty boats') || names());
  await press('ArrowLeft', 'a');
  await press('End', 'state');
  await press('ArrowUp', 'data');
  assert((await page.locator('[role=treeitem][tabindex="0"]').count()) === 1, 'one row is where Tab leads');
  await page.goBack();
  await page.waitForURL('**/console/topics/cars%2F7%2Fdata**');

  // A long value says so; a deep link opens the way to its topic.
  await publish('deep/er/blob', Buffer.alloc(300000, 'x'));
  await page.goto(`${broker.http}/console/topics/deep%2Fer%2Fblob`);
  await page.getByText('The first 256 KiB of 293 KiB').waitFor();
  await until('all of it', async () => (await text(page, 'pre')).length === 262144);
  await page.locator('[aria-selected=true]', { hasText: 'blob' }).waitFor();
  await page.getByRole('searchbox').fill('7/s');
  await until('one is found', async () => (await names()) === 'cars/7/state' || names());
  await item('cars/7/state').click();
  await page.waitForURL('**/console/topics/cars%2F7%2Fstate?q=7%2Fs');

  // The number first, then the deletion: one, and what is below.
  const ask = page.locator('.ask');
  await page.getByRole('button', { name: 'Delete retained …' }).click();
  await ask.getByText('Delete 1 retained message: cars/7/state').waitFor();
  await page.keyboard.press('Escape');
  await ask.waitFor({ state: 'hidden' });
  assert((await broker.api('GET', '/v1/retained')).total === 2, 'it was deleted unasked');
  await page.goto(`${broker.http}/console/topics/cars`);
  await page.getByText('Nothing was published to it').waitFor();
  await page.getByRole('button', { name: 'Delete retained below …' }).click();
  await ask.getByText('Delete 2 retained messages: cars/#').waitFor();
  await ask.getByRole('button', { name: 'Delete 2' }).click();
  await until('none is left', async () => (await broker.api('GET', '/v1/retained')).total === 0);
  await item('state').filter({ hasNotText: 'retained' }).waitFor();
  await finish(context, broker, client);
  return faults;
}
