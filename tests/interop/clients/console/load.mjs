// Pages beside many clients, large groups, fast messages and many windows. ROUNDEL_TEST_FULL=1 runs them in full: 10,000
// clients, 200 groups, 50,000 messages in 10 s. Otherwise there are fewer, so that it takes seconds.

import { get } from 'node:http';
import { client, crowd, publishPacket, flood as publish } from './crowd.mjs';
import { assert, finish, hub, openPage, startBroker, text, until, WITHIN } from './harness.mjs';
import { startFleet } from './identity.mjs';

const FULL = process.env.ROUNDEL_TEST_FULL === '1';
/**
 * Milliseconds of processor time that a page takes for a redraw on the average: its scripts with all that they do besides,
 * styles and layout. Whatever else the machine does is no part of it.
 */
const BUSY = 20;
/**
 * Milliseconds that half of the redraws stay below, and that every task takes at most, by the clock: asserted where nothing
 * runs beside it, for a page waits for its core as well.
 */
const REDRAW = 8;
const LONG = 400;
/** Messages a second, and milliseconds within which the last one of them is seen: a machine that does much else takes its time. */
const RATE = 5000;
const LATE = 5 * WITHIN;

/** Has a page note how long it draws, layout included, and its long tasks. */
async function watchRedraws(page) {
  await page.addInitScript(() => {
    const seen = { redraws: [], long: [] };
    globalThis.seen = seen;
    const frame = globalThis.requestAnimationFrame.bind(globalThis);
    globalThis.requestAnimationFrame = (draw) =>
      frame((at) => {
        const began = performance.now();
        draw(at);
        // What the change costs the browser is part of it.
        document.body.getBoundingClientRect();
        seen.redraws.push(performance.now() - began);
      });
    new PerformanceObserver((list) => seen.long.push(...list.getEntries().map((entry) => entry.duration))).observe({
      type: 'longtask',
    });
  });
  const session = await page.context().newCDPSession(page);
  await session.send('Performance.enable', { timeDomain: 'threadTicks' });
  const busy = async () => {
    const { metrics } = await session.send('Performance.getMetrics');
    const parts = metrics.filter(({ name }) => ['ScriptDuration', 'LayoutDuration', 'RecalcStyleDuration'].includes(name));
    return 1000 * parts.reduce((sum, { value }) => sum + value, 0);
  };
  watched.set(page, { busy, before: 0 });
}

/** How much processor time a page that is watched has taken, and had taken when it was forgotten last. */
const watched = new WeakMap();

/** Begins to count anew. */
async function forget(page) {
  await page.evaluate(() => globalThis.seen.redraws.splice(0) && globalThis.seen.long.splice(0) && undefined);
  const own = watched.get(page);
  own.before = await own.busy();
}

/** What was noted: asserted, and as a figure. */
async function assertQuick(page, what) {
  const { busy, before } = watched.get(page);
  const taken = (await busy()) - before;
  const { redraws, long } = await page.evaluate(() => globalThis.seen);
  redraws.sort((a, b) => a - b);
  const [median, most, each] = [redraws[redraws.length >> 1], redraws.at(-1), taken / redraws.length];
  const times = `median ${median?.toFixed(1)} ms, longest ${most?.toFixed(1)} ms, long tasks ${long.length}`;
  const said = `${what}: ${redraws.length} redraws, ${each.toFixed(1)} ms of processor time each, ${times}`;
  console.log(`figure: ${said}`);
  assert(redraws.length > 1 && each < BUSY, said);
  assert(!FULL || (median < REDRAW && long.every((took) => took < LONG)), `${said}: ${long}`);
}

/** Bytes that are in use once everything that can be thrown away is. */
async function heap(page) {
  const session = await page.context().newCDPSession(page);
  await session.send('HeapProfiler.collectGarbage');
  const { usedSize } = await session.send('Runtime.getHeapUsage');
  await session.detach();
  return usedSize;
}

/** Ten thousand clients, and groups of a thousand: each page shows them, and goes on being quick. */
export async function crowded(browser) {
  const [clients, groups, members] = FULL ? [10_000, 200, 1000] : [1500, 60, 200];
  const broker = await startBroker();
  const port = broker.port('mqtt');
  const filter = (at) => `$share/g${String(at).padStart(3, '0')}/cars/${at}/#`;
  // The first ones are members of all large groups; each of the others has three of them.
  const filters = (at) => [
    ...(at < members ? [0, 1, 2, 3, 4].map(filter) : []),
    ...Array.from({ length: groups }, (_, group) => group).filter((group) => group > 4 && group % members === Math.floor(at / 3)).map(filter),
  ];
  const id = (at) => `car-${String(at).padStart(5, '0')}`;
  const began = performance.now();
  const all = await crowd(port, clients, id, (at) => ({ filters: filters(at), qos: 1 }));
  console.log(`figure: ${clients} clients took ${Math.round(performance.now() - began)} ms to connect`);
  const context = await browser.newContext();
  const { page, faults } = await openPage(context);
  await watchRedraws(page);
  const many = clients.toLocaleString('en');
  const large = encodeURIComponent('cars/0/#');
  for (const [path, expected] of [
    ['', many],
    ['clients', `${many} clients`],
    [`clients/${id(clients - 1)}`, 'Keep Alive'],
    ['groups', `${groups} groups`],
    [`groups/g000/${large}`, `${members.toLocaleString('en')} of ${members.toLocaleString('en')}`],
    // What is there besides does not grow with clients and groups.
    ...(FULL ? [['topics', 'Tree'], ['messages', 'Switch the journal on'], ['faults', 'Make something fail'], ['test?filter=cars/%23', 'Subscribe']] : []),
  ]) {
    await page.goto(`${broker.http}/console/${path}`);
    await page.getByText(expected, { exact: true }).first().waitFor();
    const button = page.getByRole('button', { name: /^(Subscribe|Switch the journal on)$/ });
    if (await button.count()) await button.click();
    await forget(page);
    const sent = await publish(port, (at) => `cars/${at % groups}/x`, { rate: 500, seconds: FULL ? 5 : 1.5 });
    sent.end();
    const elements = await page.locator('*').count();
    assert(elements < 6000, `${elements} elements at /${path}`);
    await assertQuick(page, `/${path.replace(/%.*/, '')} with ${many} clients and ${groups} groups (${elements} elements)`);
  }
  // Whoever is looked for is found, among all of them.
  await page.goto(`${broker.http}/console/clients?q=${id(clients - 1)}`);
  await page.getByRole('link', { name: id(clients - 1) }).waitFor();
  await context.close();
  for (const socket of all) socket.destroy();
  await broker.stop();
  return faults;
}

/** Opens pages of a broker, each in a window of its own: one that is behind another is not drawn. */
const openAll = (browser, broker, paths) =>
  Promise.all(
    paths.map(async (path) => {
      const context = await browser.newContext();
      const opened = await openPage(context);
      await watchRedraws(opened.page);
      await opened.page.goto(`${broker.http}/console/${path}`);
      await opened.page.locator('.link.live').waitFor();
      return { path: path.replace(/%.*/, ''), context, ...opened };
    }),
  );

/** Has messages come for so long while pages are open: they keep up, and keep nothing. */
async function assertSteady(pages, run, seconds = FULL ? 10 : 2) {
  // Logs and sparklines are full once.
  await run(1);
  const before = await Promise.all(pages.map(({ page }) => heap(page)));
  await Promise.all(pages.map(({ page }) => forget(page)));
  await run(seconds);
  for (const { page, path } of pages) {
    await assertQuick(page, `/${path} while ${(RATE * seconds).toLocaleString('en')} messages come in ${seconds} s`);
  }
  for (const [at, { page, path }] of pages.entries()) {
    const grown = (await heap(page)) - before[at];
    console.log(`figure: heap at /${path} grew by ${Math.round(grown / 1024)} KiB, from ${Math.round(before[at] / 1024)} KiB`);
    assert(grown < 512 * 1024, `the heap at /${path} grew by ${grown} bytes, from ${before[at]}`);
  }
  await Promise.all(pages.map(({ context }) => context.close()));
  return pages.flatMap(({ faults }) => faults);
}

/** 5,000 messages a second to a group that is watched, and to whoever subscribes on the page. */
export async function flood(browser) {
  const broker = await startBroker('standard', {}, ['--journal']);
  const port = broker.port('mqtt');
  const members = await crowd(port, 5, (at) => `w${at + 1}`, () => ({ filters: ['$share/workers/cars/#'], qos: 1 }));
  let sent = 0;
  const run = async (seconds) => {
    (await publish(port, (at) => `cars/${at % 7}/speed`, { rate: RATE, seconds })).end();
    sent += RATE * seconds;
    const group = async () => (await broker.api('GET', '/v1/groups/workers/cars%2F%23')).number;
    await until('all are handed out', async () => (await group()) === sent || group(), LATE);
  };
  const group = 'groups/workers/cars%2F%23';
  const watched = async () => {
    const pages = await openAll(browser, broker, ['', group, 'messages', 'topics/cars%2F3%2Fspeed', 'clients/w1']);
    return assertSteady(pages, async (seconds) => {
      await run(seconds);
      await until('the page has heard of all', async () => (await hub(pages[1].page)) === `#${sent.toLocaleString('en')}`);
    });
  };
  const listed = async () => {
    const pages = await openAll(browser, broker, ['test?filter=cars/%23', 'topics', 'groups', 'clients', 'faults']);
    const [{ page: tester }] = pages;
    await tester.getByRole('button', { name: 'Subscribe', exact: true }).click();
    await tester.getByText('Nothing has come yet').waitFor();
    const before = sent;
    return assertSteady(pages, async (seconds) => {
      await run(seconds);
      await until('what came and what was skipped', async () => {
        const said = (await tester.locator('[aria-label=Subscriptions], main .chip.warn').allTextContents()).join();
        const [came, skipped] = [/cars\/# ([\d,]+)/, /([\d,]+) skipped/].map((part) => Number(said.match(part)?.[1].replaceAll(',', '') ?? 0));
        return came + skipped === sent - before || { came, skipped, sent: sent - before };
      }, LATE);
    }, FULL ? 10 : 1);
  };
  const faults = [...(await watched()), ...(await listed())];
  for (const socket of members) socket.destroy();
  await broker.stop();
  return faults;
}

/** The pages of the registry, of a fleet that is refused much. */
export async function fleet(browser) {
  const [clients, things, shadows] = FULL ? [10_000, 10_000, 120] : [300, 300, 10];
  const id = (at) => `car-${String(at).padStart(5, '0')}`;
  const document = { things: Object.fromEntries(Array.from({ length: things }, (_, at) => [id(at), { attributes: { site: 'north' } }])) };
  const broker = await startFleet(document);
  const port = broker.port('mqtt');
  const sockets = await crowd(port, clients, id);
  const shadow = (at, state) => broker.send('POST', `/things/${id(at)}/shadow`, { state });
  const report = (at) => shadow(7, { reported: Object.fromEntries(Array.from({ length: 50 }, (_, one) => [`s${one}`, one * at])) });
  for (let at = 0; at < shadows; at += 1) await shadow(at, { desired: { light: 'on' } });
  await report(0);
  const guest = await client(port, 'guest');
  const refuse = (first, count) =>
    guest.write(Buffer.concat(Array.from({ length: count }, (_, at) => publishPacket(`secret/${(first + at) % 300}`, 'x', first + at + 1))));
  // As many as the broker keeps.
  refuse(0, 300);
  const pages = await openAll(browser, broker, ['identity', 'identity?kind=refusals', `identity/things/${id(7)}`, 'shadows', `shadows/${id(7)}`]);
  const faults = await assertSteady(pages, async (seconds) => {
    let isOver = false;
    const ended = publish(port, (at) => `flood/${at % 7}`, { rate: RATE, seconds }).finally(() => (isOver = true));
    for (let at = 1; !isOver; at += 1) {
      refuse(4 * at, 4);
      await report(at);
    }
    (await ended).end();
  });
  for (const socket of [guest, ...sockets]) socket.destroy();
  await broker.stop();
  return faults;
}

/** A browser has six connections to a broker, and a broker has sixteen streams: what there is for the next one. */
export async function places(browser) {
  const broker = await startBroker('standard', {}, ['--journal']);
  const context = await browser.newContext();
  const state = (page) => text(page, '#tools [role=status]');
  const pages = [];
  for (let number = 1; number <= 8; number += 1) {
    const opened = await openPage(context);
    await opened.page.goto(`${broker.http}/console/clients`);
    await opened.page.getByText(/^(live|every 2 s)$/).waitFor();
    pages.push(opened.page);
  }
  const all = async () => (await Promise.all(pages.map(state))).sort().join();
  const expected = (live) => [...Array(pages.length - live).fill('every 2 s'), ...Array(live).fill('live')].join();
  await until('four have a stream', async () => (await all()) === expected(4) || all());
  // All of them go on, with a stream or without.
  const client = await broker.connect('car-1');
  await Promise.all(pages.map((page) => page.getByRole('link', { name: 'car-1' }).waitFor()));
  // A place that is given back is taken.
  for (let number = 0; number < 4; number += 1) await pages.shift().close();
  await until('the others have one now', async () => (await all()) === expected(4) || all());
  await context.close();
  client.end(true);

  const streams = await Promise.all(
    Array.from({ length: 16 }, () => new Promise((taken) => get(`${broker.http}/v1/events?topics=clients`, taken))),
  );
  const late = await browser.newContext();
  const { page, faults } = await openPage(late, { mayFail: (text) => /503 .*\/v1\/events/.test(text) });
  await page.goto(`${broker.http}/console/clients`);
  await until('without a stream', async () => (await state(page)) === 'every 2 s' || state(page));
  assert(/All streams are taken/.test(await page.locator('.link').getAttribute('title')), 'it does not say why');
  // What else a stream would tell is asked for as well.
  await page.goto(`${broker.http}/console/messages?f=type:CONNECT`);
  await until('without a stream', async () => (await state(page)) === 'every 2 s' || state(page));
  const third = await broker.connect('car-3');
  await page.getByRole('link', { name: 'car-3' }).waitFor();
  third.end(true);
  await page.goto(`${broker.http}/console/clients`);
  const other = await broker.connect('car-2');
  await page.getByRole('link', { name: 'car-2' }).waitFor();
  for (const stream of streams) stream.destroy();
  await until('with one', async () => (await state(page)) === 'live' || state(page));
  await finish(late, broker, other);
  return faults;
}
