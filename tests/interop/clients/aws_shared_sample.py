"""The shared-subscription sample of the AWS IoT Device SDK for Python, as a test.

The same clients, calls and defaults as the sample (AWS-SDK-01 to -11), with the SDK from PyPI and
mutual TLS. Two things differ: the port is passed on, and where the sample sleeps (a second between
messages, five seconds at the end) this waits for the event itself. Prints one JSON object that says
what every call answered and what every subscriber received.
"""

import argparse
import json
import threading
from concurrent.futures import Future
from uuid import uuid4

from awscrt import mqtt5
from awsiot import mqtt5_client_builder

DEADLINE_S = 30


def arguments():
    """The sample's arguments and their defaults."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--port", type=int, default=8883)
    parser.add_argument("--cert", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--ca_file")
    parser.add_argument("--topic", default="test/topic")
    parser.add_argument("--message", default="Hello from mqtt5 sample")
    parser.add_argument("--count", type=int, default=5)
    parser.add_argument("--group_identifier", default="python-sample")
    parser.add_argument("--client-id", default=f"test-{uuid4().hex[:8]}")
    return parser.parse_args()


class SampleClient:
    """One of the sample's three clients; it is connected when made."""

    def __init__(self, args, suffix, received):
        self._connected = Future()
        self._stopped = Future()
        self.disconnects = []
        self._client = mqtt5_client_builder.mtls_from_path(
            endpoint=args.endpoint,
            port=args.port,
            cert_filepath=args.cert,
            pri_key_filepath=args.key,
            ca_filepath=args.ca_file,
            client_id=args.client_id + suffix,
            on_publish_received=lambda data: received(data.publish_packet),
            on_lifecycle_stopped=self._stopped.set_result,
            on_lifecycle_connection_success=self._connected.set_result,
            on_lifecycle_connection_failure=lambda d: self._connected.set_exception(d.exception),
            on_lifecycle_disconnection=self._on_disconnection,
        )
        self._client.start()
        self.connack = self._connected.result(DEADLINE_S).connack_packet

    def _on_disconnection(self, data):
        """Counts a DISCONNECT from the broker; there should be none."""
        if data.disconnect_packet is not None:
            self.disconnects.append(int(data.disconnect_packet.reason_code))

    def subscribe(self, topic_filter):
        """Returns the codes of SUBACK."""
        wanted = mqtt5.Subscription(topic_filter=topic_filter, qos=mqtt5.QoS.AT_LEAST_ONCE)
        packet = mqtt5.SubscribePacket(subscriptions=[wanted])
        return [int(code) for code in self._client.subscribe(packet).result(DEADLINE_S).reason_codes]

    def publish(self, topic, payload):
        """Returns the code of PUBACK."""
        packet = mqtt5.PublishPacket(topic=topic, payload=payload, qos=mqtt5.QoS.AT_LEAST_ONCE)
        return int(self._client.publish(packet).result(DEADLINE_S).puback.reason_code)

    def unsubscribe(self, topic_filter):
        """Returns the codes of UNSUBACK."""
        packet = mqtt5.UnsubscribePacket(topic_filters=[topic_filter])
        return [int(code) for code in self._client.unsubscribe(packet).result(DEADLINE_S).reason_codes]

    def stop(self):
        """Stops without a DISCONNECT packet, as the sample does."""
        self._client.stop()
        self._stopped.result(DEADLINE_S)


class Received:
    """What the subscribers received, and when all of it is there."""

    def __init__(self, count):
        self._count = count
        self._all = threading.Event()
        self._lock = threading.Lock()
        self.messages = {"1": [], "2": [], "3": []}

    def by(self, suffix):
        """The callback of the client with this suffix."""

        def received(packet):
            with self._lock:
                self.messages[suffix].append({
                    "topic": packet.topic,
                    "payload": packet.payload.decode(),
                    "qos": int(packet.qos),
                    "user_properties": len(packet.user_properties or ()),
                })
                if sum(len(messages) for messages in self.messages.values()) >= self._count:
                    self._all.set()

        return received

    def wait(self):
        """Waits until as many messages arrived as were published."""
        if not self._all.wait(DEADLINE_S):
            raise TimeoutError(f"not all messages arrived: {self.messages}")


def main():
    """The sample's steps, in its order."""
    args = arguments()
    topic_filter = f"$share/{args.group_identifier}/{args.topic}"
    received = Received(args.count)
    clients = [SampleClient(args, suffix, received.by(suffix)) for suffix in ("1", "2", "3")]
    publisher, *subscribers = clients
    report = {
        "session_present": [client.connack.session_present for client in clients],
        "suback": [client.subscribe(topic_filter) for client in subscribers],
        "puback": [
            publisher.publish(args.topic, json.dumps(f"{args.message} [{n}]"))
            for n in range(1, args.count + 1)
        ],
    }
    received.wait()
    report["unsuback"] = [client.unsubscribe(topic_filter) for client in subscribers]
    for client in clients:
        client.stop()
    report["received"] = received.messages
    report["disconnects"] = [client.disconnects for client in clients]
    print(json.dumps(report))
    print("Complete!")


main()
