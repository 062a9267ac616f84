// Pictures of the console for the documentation: node pictures.mjs ROUNDEL FOLDER OUT [LOOK], which tests/console/pictures
// calls. A further page is a line of PAGES. With LOOK all of them are drawn there as well, on a wide screen and on a phone.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { launch, startBroker } from './harness.mjs';
import { encode } from './palette.mjs';
import { startScene } from './scene.mjs';

const [out, look] = process.argv.slice(4);
/** When the pictures are taken, as far as they say so. */
const NOON = Date.UTC(2026, 0, 15, 12, 0, 0);
/** Bytes of a picture in the documentation. */
const MOST = 60_000;

/**
 * The pages: name of the picture, path, what has to be seen before it is taken, and what happens until then.
 * `seconds`: how long it is open before.
 */
const PAGES = [
  { name: 'start', path: '', seen: '.steps', isEmpty: true },
  { name: 'groups', path: 'groups', seen: '[data-row]', seconds: 5 },
  { name: 'group', path: 'groups/workers/cars%2F%23', seen: '.ring .node', seconds: 6, prepare: loseWorker },
  { name: 'strip', path: 'groups/readers/sensors%2F%23', seen: '.strip rect', seconds: 4 },
  { name: 'clients', path: 'clients', seen: '[data-row]', seconds: 2 },
  { name: 'client', path: 'clients/dashboard', seen: '.pairs', seconds: 3 },
  { name: 'topics', path: 'topics/sensors%2F7%2Ftemperature', seen: '[role=treeitem][aria-selected=true]', seconds: 9 },
  { name: 'messages', path: `messages?f=${encodeURIComponent('topic:orders/# client:invoice-*')}`, seen: 'tbody [data-row]', seconds: 3 },
  { name: 'message', path: 'messages', seen: 'tbody [data-row]', prepare: openDelivered },
  { name: 'test', path: `test?filter=${encodeURIComponent('$share/workers/cars/#')}&topic=cars%2F7%2Fposition`, seen: 'form', prepare: subscribe },
  { name: 'identity', path: 'identity?kind=refusals', seen: '[data-row]' },
  { name: 'explain', path: 'identity?kind=refusals', seen: '[data-row]', prepare: explainOne },
  { name: 'shadow', path: 'shadows/car-007', seen: 'table' },
  { name: 'faults', path: 'faults?do=delay&client=dev-*&delay_seconds=2', seen: '.fields', seconds: 2 },
  // Last: by then there is a minute to be seen.
  { name: 'overview', path: '', seen: '.rings', seconds: 62 },
];

/** A worker goes, and its messages are on their way to the others. */
async function loseWorker(page, scene) {
  if (await page.locator('.node.away').count()) {
    await scene.bringBackWorker();
    await page.waitForTimeout(5000);
  }
  await scene.loseWorker();
  await page.locator('.node.away').waitFor();
  await page.waitForTimeout(150);
}

/** A message of the fleet and all that came of it. */
async function openDelivered(page) {
  if (await page.locator('.dump').count()) return;
  const filter = encodeURIComponent('topic:orders/# type:PUBLISH dir:in');
  await page.goto(`${page.url()}?f=${filter}`);
  await page.locator('tbody [data-row]').first().click();
  await page.locator('.dump').first().waitFor();
}

async function subscribe(page) {
  if (await page.locator('.messages li').count()) return;
  await page.getByRole('button', { name: 'Subscribe', exact: true }).click();
  await page.locator('.messages li').nth(3).waitFor();
}

/** The first of the refusals, explained. */
async function explainOne(page) {
  if (await page.locator('.panel pre').count()) return;
  await page.locator('[data-row]').first().click();
  await page.locator('.panel pre').first().waitFor();
}

const browser = await launch();

async function open(size) {
  const context = await browser.newContext({ viewport: size, locale: 'en-GB', timezoneId: 'UTC', deviceScaleFactor: 1 });
  const page = await context.newPage();
  // The page's clock begins at noon.
  await page.addInitScript((offset) => {
    const Real = Date;
    globalThis.Date = class extends Real {
      constructor(...parts) {
        super(...(parts.length > 1 ? parts : [Number(new Real(parts[0] ?? Real.now())) + offset]));
      }
    };
  }, NOON - began);
  return page;
}

/** The pixels of a PNG, as the browser reads it. */
async function pixels(png) {
  const page = await browser.newPage();
  const image = await page.evaluate(async (text) => {
    const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
    const bitmap = await createImageBitmap(new Blob([bytes], { type: 'image/png' }));
    const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d');
    context.drawImage(bitmap, 0, 0);
    const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
    let all = '';
    for (let at = 0; at < data.length; at += 32768) all += String.fromCharCode(...data.subarray(at, at + 32768));
    return { width: bitmap.width, height: bitmap.height, text: btoa(all) };
  }, png.toString('base64'));
  await page.close();
  return { width: image.width, height: image.height, pixels: Buffer.from(image.text, 'base64') };
}

/** Takes one page in both themes. */
async function take(size, wanted, address, scene, save) {
  const page = await open(size);
  await page.goto(`${address}/console/${wanted.path}`);
  await page.locator(wanted.seen).first().waitFor();
  await page.waitForTimeout(1000 * (wanted.seconds ?? 1));
  const taken = [];
  for (const theme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme: theme });
    await wanted.prepare?.(page, scene);
    taken.push([await page.screenshot({ animations: 'allow' }), `${wanted.name}-${theme}.png`]);
  }
  await page.context().close();
  // Only now: the scene stands still meanwhile.
  for (const [png, name] of taken) await save(png, name);
}

let began = Date.now();
for (const folder of [out, look].filter(Boolean)) mkdirSync(folder, { recursive: true });
const only = process.env.ROUNDEL_TEST_PAGE;
const chosen = PAGES.filter(({ name }) => !only || only.split(',').includes(name));
const sizes = [
  { size: { width: 1100, height: 720 }, folder: out, prefix: '' },
  ...(look ? [1600, 390].map((width) => ({ size: { width, height: width > 1000 ? 1000 : 844 }, folder: look, prefix: `${width}-` })) : []),
];
const empty = await startBroker('aws');
const scene = await startScene();
began = Date.now();
for (const { size, folder, prefix } of sizes) {
  for (const wanted of chosen) {
    const address = wanted.isEmpty ? empty.http : scene.broker.http;
    await take(size, wanted, address, scene, async (png, name) => {
      const image = folder === out ? encode(await pixels(png)) : png;
      writeFileSync(join(folder, prefix + name), image);
      console.log(`${prefix}${name}: ${image.length} bytes`);
      if (folder === out && image.length > MOST) process.exitCode = 1;
    });
  }
}
await scene.stop();
await empty.stop();
await browser.close();
process.exit();
