// What the console costs: node cost.mjs ROUNDEL FOLDER, which benches/console/run calls.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { crowd, flood } from '../../tests/interop/clients/console/crowd.mjs';
import { launch, startBroker } from '../../tests/interop/clients/console/harness.mjs';

const CLIENTS = 10_000;
const RATE = 5000;
const ROUNDS = Number(process.env.ROUNDEL_TEST_ROUNDS ?? 3);
const SECONDS = Number(process.env.ROUNDEL_TEST_SECONDS ?? 10);
/** What the pages show, one after the other; of ten pages most have a group whose turn is told. */
const PATHS = ['groups/workers/cars%2F%23', '', 'groups', 'clients', 'clients/car-00001', ...Array(5).fill('groups/workers/cars%2F%23')];

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
const tick = 1000 / Number(execFileSync('getconf', ['CLK_TCK']));

/** CPU time of a process so far, in milliseconds. */
function cpu(pid) {
  // The name, which may have blanks, stands in parentheses.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * tick;
}

/** When the first text or image of the page was there, in milliseconds after the click. */
async function firstPaint(browser, broker) {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`${broker.http}/console/`);
  const paint = await page.evaluate(
    () =>
      new Promise((seen) => {
        new PerformanceObserver((list) => {
          const found = list.getEntriesByName('first-contentful-paint')[0];
          if (found) seen(found.startTime);
        }).observe({ type: 'paint', buffered: true });
      }),
  );
  await context.close();
  return paint;
}

const browser = await launch();
const broker = await startBroker();
const paints = [];
for (let round = 0; round < 10; round += 1) paints.push(await firstPaint(browser, broker));
console.log(`first contentful paint: median ${median(paints).toFixed(0)} ms, ${Math.min(...paints).toFixed(0)} to ${Math.max(...paints).toFixed(0)} ms`);

const port = broker.port('mqtt');
await crowd(port, CLIENTS, (at) => `car-${String(at).padStart(5, '0')}`);
await crowd(port, 5, (at) => `w${at + 1}`, () => ({ filters: ['$share/workers/cars/#'], qos: 1 }));
const costs = new Map([0, 1, 10].map((pages) => [pages, []]));
for (let round = 0; round < ROUNDS; round += 1) {
  for (const [pages, seen] of costs) {
    // The windows of a browser have four streams, so there are several.
    const contexts = await Promise.all(Array.from({ length: Math.ceil(pages / 4) }, () => browser.newContext()));
    for (const [at, path] of PATHS.slice(0, pages).entries()) {
      const page = await contexts[at % contexts.length].newPage();
      await page.goto(`${broker.http}/console/${path}`);
      await page.locator('.link.live').waitFor();
    }
    const before = cpu(broker.pid);
    const began = performance.now();
    const socket = await flood(port, (at) => `cars/${at % 7}/speed`, { rate: RATE, seconds: SECONDS });
    seen.push((100 * (cpu(broker.pid) - before)) / (performance.now() - began));
    socket.end();
    await Promise.all(contexts.map((context) => context.close()));
  }
}
console.log(`\n| pages | broker, % of one core | rounds |\n| ---: | ---: | --- |`);
for (const [pages, seen] of costs)
  console.log(`| ${pages} | ${median(seen).toFixed(1)} | ${seen.map((one) => one.toFixed(1)).join(', ')} |`);
await broker.stop();
await browser.close();
process.exit();
