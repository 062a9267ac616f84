// The pages of shared groups.

import { assert, finish, hub, openPage, startBroker, text, until } from './harness.mjs';

/** The ring goes round, a member dies and its messages go to the next. */
export async function group(browser) {
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
  await until('w2 is next', async () => (await row('w2').getByLabel('next').count()) === 1);
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
  await finish(context, broker);
  return faults.filter((fault) => !/404/.test(fault));
}
