// A program with the shadow client of the AWS IoT Device SDK for JavaScript, over mutual TLS: get,
// update, both streams, delete, classic and named (AWS-FLOW-30, -31, -34 to -36); and three clients
// of a shared subscription that have exact turns. Only the port and the CA are passed on besides
// what the SDK's samples need. Prints one JSON object per case and line.

import { once } from "node:events";
import { parseArgs } from "node:util";
import { iot, iotshadow, mqtt5 } from "aws-iot-device-sdk-v2";

const DEADLINE_MS = 15_000;
// The SDK's name for it is in no package of its own.
const ESTABLISHED = 0;
const options = { type: "string" };
const names = ["endpoint", "port", "ca_file", "cert", "key"];
const { values: args } = parseArgs({ options: Object.fromEntries(names.map((name) => [name, options])) });

/** Fails the case unless `got` equals `want`. */
function check(what, got, want) {
  const [shown, wanted] = [JSON.stringify(got), JSON.stringify(want)];
  if (shown !== wanted) throw new Error(`${what}: got ${shown}, want ${wanted}`);
}

/** The next event of an emitter. */
async function next(emitter, name) {
  const [event] = await once(emitter, name, { signal: AbortSignal.timeout(DEADLINE_MS) });
  return event;
}

/** A client that is connected. */
async function connect(clientId) {
  const builder = iot.AwsIotMqtt5ClientConfigBuilder.newDirectMqttBuilderWithMtlsFromPath(
    args.endpoint, args.cert, args.key,
  );
  builder.withCertificateAuthorityFromPath(undefined, args.ca_file);
  builder.withPort(Number(args.port));
  builder.withConnectProperties({ clientId, keepAliveIntervalSeconds: 30 });
  const client = new mqtt5.Mqtt5Client(builder.build());
  const connected = next(client, "connectionSuccess");
  client.start();
  await connected;
  return client;
}

async function stop(client) {
  const stopped = next(client, "stopped");
  client.stop();
  await stopped;
  client.close();
}

/** Events of a stream from now on. */
async function listen(stream) {
  const events = [];
  const subscribed = next(stream, "subscriptionStatus");
  stream.on("incomingPublish", (event) => events.push(event.message));
  stream.open();
  check("stream", (await subscribed).type, ESTABLISHED);
  return async () => {
    if (events.length === 0) await next(stream, "incomingPublish");
    return events.shift();
  };
}

async function live(thingName, shadowName) {
  const client = await connect(`test-${thingName}`);
  const shadows = iotshadow.IotShadowClientv2.newFromMqtt5(client, {
    maxRequestResponseSubscriptions: 2,
    maxStreamingSubscriptions: 2,
    operationTimeoutInSeconds: DEADLINE_MS / 1000,
  });
  const named = shadowName === undefined ? "" : "Named";
  const of = { thingName, shadowName };
  const ask = (verb, members) => shadows[`${verb}${named}Shadow`]({ ...of, ...members });
  const refusal = async () => {
    try {
      await ask("get");
      return undefined;
    } catch (error) {
      return error.modeledError.code;
    }
  };
  check("before", await refusal(), 404);
  const delta = await listen(shadows[`create${named}ShadowDeltaUpdatedStream`](of));
  const documents = await listen(shadows[`create${named}ShadowUpdatedStream`](of));

  const accepted = await ask("update", { state: { reported: { color: "red" } } });
  check("version", accepted.version, 1);
  check("current", (await documents()).current.state, { reported: { color: "red" } });
  await ask("update", { state: { desired: { color: "blue" } } });
  check("documents", (await documents()).previous.version, 1);
  check("delta", (await delta()).state, { color: "blue" });
  await ask("update", { state: { reported: { color: "blue" } } });
  await documents();
  const found = await ask("get");
  check("state", found.state, { desired: { color: "blue" }, reported: { color: "blue" } });
  check("deleted", (await ask("delete")).version, 3);
  check("after", await refusal(), 404);
  shadows.close();
  await stop(client);
}

const classic_shadow = () => live("node-classic");
const named_shadow = () => live("node-named", "one");

async function shared_subscription() {
  const publisher = await connect("test-node-publisher");
  const members = [];
  const received = [[], []];
  for (const [index, messages] of received.entries()) {
    const member = await connect(`test-node-${index}`);
    member.on("messageReceived", ({ message }) => messages.push(Buffer.from(message.payload).toString()));
    const subscriptions = [{ topicFilter: "$share/node/node/turns", qos: mqtt5.QoS.AtLeastOnce }];
    check("granted", (await member.subscribe({ subscriptions })).reasonCodes, [1]);
    members.push(member);
  }
  for (let number = 0; number < 10; number++) {
    await publisher.publish({ topicName: "node/turns", payload: `${number}`, qos: mqtt5.QoS.AtLeastOnce });
  }
  for (const [index, member] of members.entries()) {
    while (received[index].length < 5) await next(member, "messageReceived");
    check("turns", received[index], [0, 2, 4, 6, 8].map((number) => `${number + index}`));
  }
  for (const client of [...members, publisher]) await stop(client);
}

for (const run of [classic_shadow, named_shadow, shared_subscription]) {
  const report = { case: run.name, ok: true };
  try {
    await run();
  } catch (error) {
    Object.assign(report, { ok: false, error: `${error.stack}` });
  }
  console.log(JSON.stringify(report));
}
process.exit(0);
