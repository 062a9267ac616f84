// The pages of the registry: what it has, what was refused, and why.

import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import mqtt from 'mqtt';
import { assert, finish, openPage, startBroker, text, until, violationsOf } from './harness.mjs';

const PREFIX = 'arn:aws:iot:us-east-1:123456789012:';
const allow = (Action, Resource, more) => ({ Effect: 'Allow', Action, Resource, ...more });

/** A broker of the AWS profile with a policy for guests, and what it is asked with a body. */
export async function startFleet(document = {}) {
  const broker = await startBroker('aws', { mqtts: 0, mqtt: 0 }, [], 'client_cert = "optional"\n[aws]\nanonymous_policy = "guests"\n');
  const send = async (method, path, body) => {
    const headers = { 'content-type': 'application/json' };
    const answer = await fetch(broker.http + path, { method, headers, body: JSON.stringify(body) });
    const value = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${value}`);
    return value && JSON.parse(value);
  };
  const guests = [
    allow('iot:Connect', `${PREFIX}client/*`),
    allow('iot:Publish', `${PREFIX}topic/\${iot:ClientId}/*`, { Sid: 'own' }),
    allow(['iot:Subscribe', 'iot:Receive'], '*'),
  ];
  const policies = { guests: { document: { Version: '2012-10-17', Statement: guests } } };
  await send('PUT', '/v1/registry', { ...document, policies: { ...policies, ...document.policies } });
  return { ...broker, send };
}

/** A certificate with this Common Name, registered, and its key; nobody has to have signed it. */
export async function certificateOf({ cwd, send }, name) {
  const [key, config] = ['own.key', 'own.cnf'].map((file) => join(cwd, file));
  writeFileSync(config, '[req]\ndistinguished_name = names\nprompt = no\nutf8 = yes\nx509_extensions = own\n[own]\nbasicConstraints = CA:FALSE\n[names]\nCN = x\n');
  const flags = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-utf8', '-subj', `/CN=${name}`];
  const pem = execFileSync('openssl', ['req', '-config', config, ...flags, '-keyout', key], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  const { certificate_id: id } = await send('POST', '/v1/certificates', { certificate_pem: pem });
  return { id, cert: pem, key: readFileSync(key) };
}

/** A client over TLS with a certificate. */
export function connectWith(broker, { cert, key }, clientId) {
  const ca = readFileSync(join(broker.cwd, 'certs/ca.pem'));
  const to = { host: 'localhost', port: broker.port('mqtts'), protocol: 'mqtts', protocolVersion: 5, reconnectPeriod: 0 };
  return mqtt.connectAsync({ ...to, ca, cert, key, clientId });
}

/** From a refusal to its explanation, from there to the policy, and to all that it is attached to. */
export async function identity(browser) {
  const broker = await startFleet({ thing_groups: { cars: { policies: ['guests'] } }, things: { car1: { groups: ['cars'], attributes: { site: 'north' } } } });
  // What looks at the page is no part of it.
  const context = await browser.newContext({ bypassCSP: true, reducedMotion: 'reduce' });
  const { page, faults } = await openPage(context);
  const look = async () => faults.push(...(await violationsOf(page)));
  const guest = await broker.connect('guest');
  for (let number = 0; number < 2; number += 1) await guest.publishAsync('cars/1', 'x', { qos: 1 }).catch(() => {});
  await page.goto(`${broker.http}/console/identity?kind=refusals`);
  const row = page.locator('tbody tr', { hasText: 'cars/1' });
  await until('two refusals in one row', async () => (await row.innerText()).includes('2\tno policy allows it'));
  await look();
  await row.locator('[data-row]').click();
  for (const part of ['Denied', 'implicit deny', 'iot:ClientId', 'Near misses', 'does not fit']) await page.getByText(part).first().waitFor();
  const grant = JSON.parse(await page.locator('h3 + .copyable pre').first().textContent());
  assert(grant.Resource === `${PREFIX}topic/cars/1`, `${grant.Resource}`);
  await look();
  // What would be allowed, and for whom nobody knows.
  await page.getByLabel('Resource').fill('guest/1');
  await page.getByLabel('Resource').press('Enter');
  await page.getByText('Allowed', { exact: true }).waitFor();
  assert(new URL(page.url()).searchParams.get('resource') === 'guest/1', page.url());
  // The page follows the policies.
  const other = { Version: '2012-10-17', Statement: [{ Effect: 'Deny', Action: '*', Resource: '*', Sid: 'nothing' }] };
  await broker.send('POST', '/policies/guests/version?setAsDefault=true', { policyDocument: JSON.stringify(other) });
  await page.getByText('explicit deny').waitFor();
  await page.locator('.note a', { hasText: 'guests' }).click();
  await page.getByRole('heading', { name: 'guests' }).waitFor();
  await until('both versions', async () => (await page.locator('pre').count()) === 2);
  await look();
  await page.getByRole('link', { name: 'cars' }).click();
  await page.getByRole('link', { name: 'car1' }).click();
  await page.getByText('north').waitFor();
  assert(page.url().endsWith('/console/identity/things/car1'), page.url());
  // Things, and a shadow as it changes.
  const shadow = (state) => broker.send('POST', '/things/car1/shadow?name=door', { state });
  await shadow({ desired: { open: true, lock: { by: 'driver' } } });
  await page.getByRole('link', { name: 'door' }).click();
  const cells = () => page.locator('tbody tr', { hasText: 'lock.by' }).locator('td').allInnerTexts();
  const firsts = async () => (await cells()).map((cell) => cell.split('\n')[0]).join(' ');
  await until('a delta', async () => (await firsts()) === '"driver" – "driver"' || cells());
  await look();
  await shadow({ reported: { lock: { by: 'driver' } } });
  await until('no delta any more', async () => (await firsts()) === '"driver" "driver" –' || cells());
  await page.goto(`${broker.http}/console/shadows`);
  await until('the list', async () => (await text(page)).includes('door'));
  assert((await broker.send('POST', '/v1/reset')).disconnected === 1, 'nobody was connected');
  await page.goto(`${broker.http}/console/identity?kind=refusals`);
  await page.getByText('Nothing was refused').waitFor();
  await finish(context, broker, guest);
  return faults;
}

/** Names of certificates that want to be markup. */
export async function certificates(browser) {
  const broker = await startFleet();
  const context = await browser.newContext();
  const { page, faults } = await openPage(context);
  const markup = '<img src=x onerror=alert(1)>';
  const own = await certificateOf(broker, `${markup}\u202ec\u0430r`);
  const { id } = own;
  await broker.send('PUT', '/v1/registry', {
    things: { 'javascript:alert-1': {} },
    policies: { 'a=,@+.-own': { document: { Version: '2012-10-17', Statement: [allow('iot:Connect', '*')] } } },
    certificates: [{ pem: own.cert, things: ['javascript:alert-1'], policies: ['a=,@+.-own'] }],
  });
  const hostile = `${markup}${'\u200b'}`;
  const client = await connectWith(broker, own, hostile);
  client.on('error', () => {});
  await client.publishAsync(`a/${markup}`, 'x', { qos: 1 }).catch(() => {});
  const desired = { [markup]: markup, __proto__x: { constructor: 1 }, x: { '': 1, 'a.b': 2, a: { b: 3 }, none: {} } };
  await broker.send('POST', '/things/javascript:alert-1/shadow', { state: { desired } });
  for (const [path, parts] of [
    ['', ['1']],
    ['clients', ['⟨U+200B⟩']],
    [`clients/${encodeURIComponent(hostile)}`, ['⟨U+202E⟩cаr', '≈', 'TLSv1.3']],
    ['identity', ['javascript:alert-1']],
    ['identity?kind=certificates', ['⟨U+202E⟩cаr', '≈']],
    ['identity?kind=policies', ['a=,@+.-own']],
    ['identity?kind=refusals', ['a/<img', '⟨U+200B⟩']],
    [`identity/certificates/${id}`, [markup, '⟨U+202E⟩cаr', 'javascript:alert-1']],
    ['identity/things/javascript%3Aalert-1', ['⟨U+202E⟩cаr', 'classic']],
    ['identity/policies/a%3D%2C%40%2B.-own', ['⟨U+202E⟩cаr']],
    [`identity/explain?client=${encodeURIComponent(hostile)}&action=publish&resource=${encodeURIComponent(`a/${markup}`)}`, ['Denied', `topic/a/${markup}`]],
    ['shadows', ['javascript:alert-1']],
    ['shadows/javascript%3Aalert-1', [markup, '__proto__x.constructor', 'x.""', 'x."a.b"', 'x.a.b', 'x.none']],
  ]) {
    await page.goto(`${broker.http}/console/${path}`);
    await until(`'${parts}' at /${path}`, async () => {
      const said = (await text(page)).replaceAll('\n', '');
      return parts.every((part) => said.includes(part)) || said;
    });
    const made = await page.locator('main img, main script, main [onerror]').count();
    assert(made === 0, `elements of names at /${path}`);
    const links = await page.locator('a').evaluateAll((all) => all.map((one) => one.getAttribute('href')));
    assert(links.every((href) => /^(\/console\/|#page$)/.test(href)), `links ${links}`);
  }
  await finish(context, broker, client);
  return faults;
}
