// The page of faults and of the clock.

import { once } from 'node:events';
import { assert, finish, openPage, startBroker, text, until } from './harness.mjs';

/** Rules are armed from the form, and by hand; what they hold is released; an outage begins and ends. */
export async function faults(browser) {
  const broker = await startBroker();
  const context = await browser.newContext();
  const { page, faults } = await openPage(context, { mayFail: (text) => /400 .*\/v1\/rules/.test(text) });
  const client = await broker.connect('dev-1');
  await client.subscribeAsync('cars/#', { qos: 1 });
  await page.goto(`${broker.http}/console/clients/dev-1`);
  await page.getByRole('link', { name: 'Make something fail here' }).click();
  const form = page.locator('main form.panel');
  const json = form.locator('textarea');
  const shows = (rule) => until(rule, async () => (await json.inputValue()) === rule || json.inputValue());
  await shows('{"match":{"type":"PUBLISH","client":"dev-1"},"do":"drop"}');
  // What is wrong is said at its field.
  await form.locator('[name=do]').selectOption('delay');
  await form.locator('[name=delay_seconds]').fill('soon');
  await form.getByRole('button', { name: 'Arm' }).click();
  await form.locator('label', { hasText: 'delay seconds' }).getByRole('alert').waitFor();
  await form.locator('[name=topic]').fill('cars/#/x');
  await form.locator('[name=delay_seconds]').fill('2.5');
  await form.getByRole('button', { name: 'Arm' }).click();
  await form.locator('label', { hasText: 'topic' }).getByRole('alert').waitFor();
  await form.locator('[name=topic]').fill('cars/#');
  await form.locator('[name=do]').selectOption('hold');
  await form.locator('[name=direction]').selectOption('out');
  await form.locator('[name=expires_after_seconds]').fill('3600');
  await form.locator('[name=name]').fill('kept');
  const rule = '{"match":{"type":"PUBLISH","direction":"out","client":"dev-1","topic":"cars/#"},"do":"hold","expires_after_seconds":3600,"name":"kept"}';
  await shows(rule);
  assert((await text(page, 'main pre')).includes(`-d '${rule}'`), 'no line to copy');
  await page.reload();
  await shows(rule);
  await form.getByRole('button', { name: 'Arm' }).click();
  const chip = page.locator('header .chip.warn');
  await until('the rule is armed', async () => /^1 rule armed/.test(await chip.innerText({ timeout: 8000 })));
  await page.getByText('PUBLISH to clients, topic cars/#, client dev-1: is held until it is released').waitFor();
  for (const payload of ['a', 'b', 'c']) await client.publishAsync('cars/1', payload, { qos: 1 });
  await page.getByText('3 packets held').waitFor();
  const first = once(client, 'message');
  await page.getByRole('button', { name: 'Release next' }).click();
  assert((await first)[1].toString() === 'a', 'another one came');
  await page.getByText('2 packets held').waitFor();
  await page.getByRole('button', { name: 'Discard all' }).click();
  await page.locator('.ask', { hasText: '2 packets will never arrive' }).getByRole('button', { name: 'Discard all' }).click();
  await page.getByText('held', { exact: false }).and(page.locator('h2')).waitFor({ state: 'hidden' });
  await page.getByRole('button', { name: 'Remove …' }).click();
  await page.locator('.ask', { hasText: 'kept' }).getByRole('button', { name: 'Remove' }).click();
  await page.getByText('No rule is armed').waitFor();
  // By hand, and the change of a CONNACK.
  await json.fill('{"do": "drop", "match": {"type": "PUBLISH"}, "tmies": 1}');
  await form.getByRole('button', { name: 'Arm' }).click();
  await form.getByText('tmies').and(page.locator('.note')).waitFor();
  await form.getByRole('button', { name: 'Back to the fields' }).click();
  await page.goto(`${broker.http}/console/faults?do=connack&receive_maximum=3&reason=0x88`);
  await shows('{"match":{"type":"CONNACK"},"do":"replace","set":{"properties":{"receive_maximum":3},"reason":"0x88"}}');
  await form.getByRole('button', { name: 'Arm' }).click();
  await page.getByText('CONNACK: arrives with reason 0x88, receive_maximum 3').waitFor();
  await page.getByRole('button', { name: 'Remove all' }).click();
  await page.locator('.ask').getByRole('button', { name: 'Remove all' }).click();
  await page.getByText('No rule is armed').waitFor();
  const gone = once(client, 'close');
  await page.getByRole('button', { name: 'Outage' }).click();
  await page.locator('.ask [name=seconds]').fill('600');
  await page.locator('.ask', { hasText: 'Lose 1 connection' }).getByRole('button', { name: 'Outage' }).click();
  await gone;
  await chip.filter({ hasText: 'outage' }).click();
  await page.getByRole('button', { name: 'End the outage' }).click();
  await chip.waitFor({ state: 'hidden' });
  client.end(true);
  const back = await broker.connect('dev-2');
  await until('it is counted', async () => (await broker.api('GET', '/v1/stats')).clients_connected === 1);
  await page.locator('nav a[href="/console/clients"][data-count="1"]').waitFor();
  await page.getByRole('button', { name: 'Reset' }).click();
  await page.locator('.ask', { hasText: 'End 1 connection and 1 session' }).getByRole('button', { name: 'Reset' }).click();
  await page.getByText('disconnected 1').waitFor();
  await finish(context, broker, back);
  return faults;
}

/** The clock says what it will fire before it is moved, and does it. */
export async function clock(browser) {
  const broker = await startBroker();
  const context = await browser.newContext();
  const { page, faults } = await openPage(context, { mayFail: (text) => /404 .*\/v1\/clients/.test(text) });
  const will = { topic: 'w', payload: 'gone', qos: 1, properties: { willDelayInterval: 600 } };
  const leaves = async (id, expiry) => {
    const client = await broker.connect(id, { clean: false, properties: { sessionExpiryInterval: expiry }, will });
    client.stream.destroy();
    await broker.api('GET', `/v1/clients/${id}?connected=false&wait=8s`);
  };
  await leaves('long', 7200);
  await leaves('short', 1800);
  const reader = await broker.connect('reader', { keepalive: 0 });
  await reader.subscribeAsync('w', { qos: 1 });
  await broker.api('POST', '/v1/rules', { match: { client: 'nobody' }, do: 'drop', expires_after_seconds: 1800 });
  // One packet arrives in five hours.
  await broker.api('POST', '/v1/rules', { match: { type: 'PUBLISH', direction: 'out' }, do: 'delay', delay_seconds: 18000, times: 1 });
  await broker.api('POST', '/v1/publish', { topic: 'w', payload: 'late' });
  await page.goto(`${broker.http}/console/faults`);
  await page.getByText('6 deadlines').waitFor();
  await page.getByText('delayed packet of reader').waitFor();
  await page.getByText('a packet, client nobody: is lost').waitFor();
  await page.getByRole('button', { name: 'Next deadline' }).click();
  const ask = page.locator('.ask');
  await ask.getByText('will of long').waitFor();
  assert(!(await text(page, '.ask')).includes('session expiry'), await text(page, '.ask'));
  await page.keyboard.press('Escape');
  await ask.waitFor({ state: 'hidden' });
  let arrived = () => {};
  const late = new Promise((resolve) => (arrived = resolve));
  const wills = new Promise((resolve) => {
    let count = 0;
    reader.on('message', () => {
      count += 1;
      if (count === 2) resolve();
      if (count === 3) arrived();
    });
  });
  await page.getByRole('button', { name: '1 h' }).click();
  await ask.getByText('Forward by 01:00:00, past 4 deadlines').waitFor();
  await ask.getByText('session expiry of short').waitFor();
  await ask.getByText('end of rule').waitFor();
  await ask.getByRole('button', { name: 'Advance' }).click();
  await wills;
  await page.locator('header .chip.warn', { hasText: 'clock +01:00:0' }).waitFor();
  await page.getByText('2 deadlines').waitFor();
  // Own time, sent by Enter.
  await page.locator('[name=by]').fill('7200');
  await page.keyboard.press('Enter');
  await ask.getByText('Forward by 02:00:00, past 1 deadline').waitFor();
  await ask.getByRole('button', { name: 'Advance' }).click();
  await page.getByText('1 deadline', { exact: true }).waitFor();
  await page.getByRole('button', { name: 'Next deadline' }).click();
  await ask.getByText('delayed packet of reader').waitFor();
  await ask.getByRole('button', { name: 'Advance' }).click();
  await late;
  await page.getByText('0 deadlines').waitFor();
  // What happened to a client is told after it is gone.
  await page.goto(`${broker.http}/console/clients/short`);
  await page.getByText('There is no session of this client').waitFor();
  await until('its history', async () => {
    const events = await page.locator('.steps-log li').allInnerTexts();
    const parts = ['session ended: expired', 'lost by network', 'connected at mqtt, MQTT 5'];
    return (events.length === 3 && parts.every((part, at) => events[at].includes(part))) || events;
  });
  await finish(context, broker, reader);
  return faults;
}
