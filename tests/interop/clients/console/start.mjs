// The lines that the first page has to copy.

import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assert, openPage, startBroker, until } from './harness.mjs';

/** A folder with a name that a shell would take apart. */
const HOSTILE = 'it\'s "$(touch taken-apart)" `x`;';
const own = (path) => fileURLToPath(new URL(`../../${path}`, import.meta.url));

/** They make clients of this very broker: a group of four, and messages that go round in it. */
export async function quickStart(browser) {
  const broker = await startBroker('aws', { mqtt: 'off', mqtts: 0 }, ['--certs', HOSTILE]);
  const context = await browser.newContext();
  const { page, faults } = await openPage(context);
  await page.goto(`${broker.http}/console/`);
  await page.getByText('Nobody has connected yet').waitFor();
  const texts = async (language) => {
    await page.getByRole('button', { name: language, exact: true }).click();
    await page.getByRole('button', { name: language, pressed: true }).waitFor();
    return page.locator('.steps pre').allTextContents();
  };
  const [certificate, first, second, messages] = await texts('mosquitto');
  const [python, node, rust] = [await texts('Python'), await texts('Node'), await texts('Rust')].map((all) => all.at(-1));
  const cli = await texts('AWS CLI');
  await context.close();
  assert(rust.includes(`"${broker.cwd}/it's \\"$(touch taken-apart)\\" \`x\`;/ca.pem"`), rust);

  const bin = join(broker.cwd, 'bin');
  mkdirSync(bin);
  symlinkSync(resolve(process.argv[2]), join(bin, 'roundel'));
  symlinkSync(own('node_modules'), join(broker.cwd, 'node_modules'));
  writeFileSync(join(broker.cwd, 'worker.py'), python);
  writeFileSync(join(broker.cwd, 'worker.mjs'), node);
  const env = {
    ...process.env,
    PATH: [bin, own('../.env/bin'), process.env.PATH].join(delimiter),
    PYTHONUNBUFFERED: '1',
  };
  const running = [];
  const start = (text, own = env) => {
    // mosquitto prints each line at once, as it does on a terminal.
    const child = spawn('stdbuf', ['-oL', 'bash', '-ec', text], { cwd: broker.cwd, env: own, stdio: ['ignore', 'pipe', 'pipe'] });
    const one = { child, said: '' };
    for (const output of [child.stdout, child.stderr]) output.on('data', (part) => (one.said += part));
    running.push(one);
    return one;
  };
  const run = async (text, own = env) => {
    const one = start(text, own);
    const [code] = await new Promise((ended) => one.child.on('close', (...all) => ended(all)));
    assert(code === 0, `${text}: ${one.said}`);
    return one.said;
  };
  try {
    await run(certificate);
    const workers = [first, second, 'python worker.py', 'node worker.mjs'].map((text) => start(`exec ${text}`));
    await until('a group of four', async () => {
      const { groups } = await broker.api('GET', '/v1/groups');
      return groups[0]?.members.length === workers.length || workers.map(({ said }) => said);
    });
    await run(messages);
    await until('all of them, by turns', async () => {
      const lines = workers.map(({ said }) => said.trim().split('\n').filter((line) => line.startsWith('demo/')));
      const counts = lines.map(({ length }) => length).sort().join();
      const all = lines.flat().sort().join();
      const expected = [1, 2, 3, 4, 5, 6].map((number) => `demo/${number} message ${number}`).join();
      return (counts === '1,1,2,2' && all === expected) || workers.map(({ said }) => said);
    });
    // Whoever copies them may have no credentials for the service.
    const kept = Object.entries(env).filter(([name]) => !name.startsWith('AWS_'));
    const fresh = { ...Object.fromEntries(kept), HOME: broker.cwd };
    const said = await run(cli.join('\n'), fresh);
    assert(said.includes('"thingName": "car1"'), said);
    await until('the message of the CLI', async () => workers.some(({ said }) => said.includes('demo/1 {"speed": 75}')) || workers.map(({ said }) => said));
  } finally {
    for (const { child } of running) child.kill();
  }
  assert(!existsSync(join(broker.cwd, 'taken-apart')), 'a part of the name was run');
  await broker.stop();
  return faults;
}
