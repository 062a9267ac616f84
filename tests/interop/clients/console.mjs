// The console in Debian's Chromium: node console.mjs ROUNDEL FOLDER. The cases start their own brokers; an outcome
// is printed for each.

import * as clients from './console/clients.mjs';
import * as faults from './console/faults.mjs';
import * as frame from './console/frame.mjs';
import * as groups from './console/groups.mjs';
import { launch } from './console/harness.mjs';
import { certificates, identity } from './console/identity.mjs';
import * as load from './console/load.mjs';
import * as messages from './console/messages.mjs';
import { quickStart } from './console/start.mjs';
import * as topics from './console/topics.mjs';

const browser = await launch();

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

// Beside nothing else runs what is measured.
const { stop, ...shared } = frame;
const { flood, ...loads } = load;
const alone = { flood, stop };
const cases = { ...shared, ...groups, ...clients, ...topics, ...messages, certificates, identity, quickStart, ...faults, ...loads };
const only = process.env.ROUNDEL_TEST_CASE;
if (only) {
  await runAll({ [only]: { ...cases, ...alone }[only] }, 1);
} else {
  await runAll(cases, 3);
  await runAll(alone, 1);
}
await browser.close();
process.exit(0);
