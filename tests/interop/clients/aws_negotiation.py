"""What the AWS Common Runtime negotiates with the broker in its `aws` profile.

The values are those that the test suite of aws-crt-python asserts against the service
(AWS-M5-01 to -11, AWS-SESS-05, AWS-CONN-05, -07, -08, -12). Prints one JSON object per case and
line, as the clients of the matrix do.
"""

import queue
import uuid
from concurrent.futures import Future

from awscrt import mqtt5
from awsiot import mqtt5_client_builder

import sdk
from cases import DEADLINE_S, check

ARGS = sdk.arguments(__doc__)


class Client:
    """A client with the SDK's defaults; `connect` are fields of its CONNECT packet."""

    def __init__(self, session_behavior=mqtt5.ClientSessionBehaviorType.CLEAN, **connect):
        self._connected = Future()
        self._stopped = Future()
        self.disconnected = Future()
        self.messages = queue.Queue()
        connect.setdefault("client_id", f"test-{uuid.uuid4().hex}")
        self._client = mqtt5_client_builder.mtls_from_path(
            endpoint=ARGS.endpoint,
            port=ARGS.port,
            cert_filepath=ARGS.cert,
            pri_key_filepath=ARGS.key,
            ca_filepath=ARGS.ca_file,
            **connect,
            session_behavior=session_behavior,
            on_publish_received=lambda data: self.messages.put(data.publish_packet.payload),
            on_lifecycle_stopped=self._stopped.set_result,
            on_lifecycle_connection_success=self._on_connected,
            on_lifecycle_connection_failure=self._on_refused,
            on_lifecycle_disconnection=self._on_disconnected,
        )
        self._client.start()

    def _on_connected(self, data):
        if not self._connected.done():
            self._connected.set_result(data)

    def _on_refused(self, data):
        if not self._connected.done():
            self._connected.set_exception(data.exception)

    def _on_disconnected(self, data):
        if not self.disconnected.done():
            self.disconnected.set_result(data.disconnect_packet)

    def connack(self):
        """The CONNACK packet."""
        return self._connected.result(DEADLINE_S).connack_packet

    def settings(self):
        """What the client derived from CONNECT and CONNACK."""
        return self._connected.result(DEADLINE_S).negotiated_settings

    def subscribe(self, topic_filter):
        """The code of SUBACK."""
        wanted = mqtt5.Subscription(topic_filter, mqtt5.QoS.AT_LEAST_ONCE)
        suback = self._client.subscribe(mqtt5.SubscribePacket([wanted])).result(DEADLINE_S)
        return int(suback.reason_codes[0])

    def unsubscribe(self, topic_filter):
        """The code of UNSUBACK."""
        packet = mqtt5.UnsubscribePacket([topic_filter])
        return int(self._client.unsubscribe(packet).result(DEADLINE_S).reason_codes[0])

    def publish(self, topic, payload):
        """The code of PUBACK."""
        packet = mqtt5.PublishPacket(topic=topic, payload=payload, qos=mqtt5.QoS.AT_LEAST_ONCE)
        return int(self._client.publish(packet).result(DEADLINE_S).puback.reason_code)

    def stop(self):
        """Disconnects."""
        self._client.stop(mqtt5.DisconnectPacket())
        self._stopped.result(DEADLINE_S)


def default_settings():
    """A CONNECT without wishes gets all limits of the service."""
    client = Client(client_id="negotiation-defaults")
    settings, connack = client.settings(), client.connack()
    client.stop()
    check("receive maximum", settings.receive_maximum_from_server, 100)
    check("maximum packet size", settings.maximum_packet_size_to_server, 149_504)
    check("topic alias maximum to server", settings.topic_alias_maximum_to_server, 8)
    check("topic alias maximum to client", settings.topic_alias_maximum_to_client, 0)
    check("maximum QoS", int(settings.maximum_qos), 1)
    check("session expiry", settings.session_expiry_interval_sec, 0)
    check("server keep-alive", settings.server_keep_alive_sec, 1200)
    check("retain available", settings.retain_available, True)
    check("wildcards available", settings.wildcard_subscriptions_available, True)
    check("identifiers available", settings.subscription_identifiers_available, False)
    check("shared available", settings.shared_subscriptions_available, True)
    check("rejoined session", settings.rejoined_session, False)
    check("client id", settings.client_id, "negotiation-defaults")
    check("assigned client id", connack.assigned_client_identifier, None)
    check("reason string", connack.reason_string, None)


def limits_are_stated():
    """CONNACK carries every limit as a property; the client does not fill in defaults."""
    client = Client(keep_alive_interval_sec=1000, session_expiry_interval_sec=600)
    connack = client.connack()
    client.stop()
    check("receive maximum", connack.receive_maximum, 100)
    check("maximum QoS", connack.maximum_qos, mqtt5.QoS.AT_LEAST_ONCE)
    check("maximum packet size", connack.maximum_packet_size, 149_504)
    check("topic alias maximum", connack.topic_alias_maximum, 8)
    check("retain available", connack.retain_available, True)
    check("wildcards available", connack.wildcard_subscriptions_available, True)
    check("identifiers available", connack.subscription_identifiers_available, False)
    check("shared available", connack.shared_subscription_available, True)
    check("server keep-alive", connack.server_keep_alive_sec, 1000)
    check("session expiry", connack.session_expiry_interval_sec, 600)


def session_expiry_is_capped():
    """An hour is the longest session of an account with default quotas."""
    for wish, want in ((600, 600), (3600, 3600), (600_000, 3600), (0xFFFF_FFFF, 3600)):
        client = Client(session_expiry_interval_sec=wish)
        got = client.settings().session_expiry_interval_sec
        client.stop()
        check(f"session expiry for {wish}", got, want)


def keep_alive_is_bounded():
    """Below 30 s becomes 30 s, above 1,200 s becomes 1,200 s."""
    for wish, want in ((5, 30), (30, 30), (1000, 1000), (1200, 1200), (65_535, 1200)):
        client = Client(keep_alive_interval_sec=wish)
        got = client.settings().server_keep_alive_sec
        client.stop()
        check(f"keep-alive for {wish}", got, want)


def second_client_takes_over():
    """The first connection of a client identifier ends with reason 142."""
    first = Client(client_id="negotiation-twice")
    first.connack()
    second = Client(client_id="negotiation-twice")
    second.connack()
    disconnect = first.disconnected.result(DEADLINE_S)
    # The first client would connect again and displace the second one in turn.
    first.stop()
    second.stop()
    check("reason", int(disconnect.reason_code), 142)


def session_is_rejoined():
    """A session that outlives its connection is there again, and Clean Start ends it."""
    rejoin = mqtt5.ClientSessionBehaviorType.REJOIN_ALWAYS
    wishes = {"client_id": "negotiation-rejoin", "session_expiry_interval_sec": 600}
    for behavior, want in ((rejoin, False), (rejoin, True),
                           (mqtt5.ClientSessionBehaviorType.CLEAN, False)):
        client = Client(session_behavior=behavior, **wishes)
        got = client.settings().rejoined_session
        client.stop()
        check("rejoined session", got, want)


def unsubscribed_client_gets_nothing():
    """PUBACK still comes after UNSUBSCRIBE; the message does not."""
    client = Client()
    check("SUBACK", client.subscribe("negotiation/a"), 1)
    check("SUBACK", client.subscribe("negotiation/b"), 1)
    check("PUBACK", client.publish("negotiation/a", "first"), 0)
    check("message", client.messages.get(timeout=DEADLINE_S), b"first")
    check("UNSUBACK", client.unsubscribe("negotiation/a"), 0)
    check("PUBACK", client.publish("negotiation/a", "second"), 0)
    check("PUBACK", client.publish("negotiation/b", "third"), 0)
    check("message", client.messages.get(timeout=DEADLINE_S), b"third")
    client.stop()


sdk.report_and_exit([
    default_settings,
    limits_are_stated,
    session_expiry_is_capped,
    keep_alive_is_bounded,
    second_client_takes_over,
    session_is_rejoined,
    unsubscribed_client_gets_nothing,
])
