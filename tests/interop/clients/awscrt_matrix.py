"""The interop matrix with the AWS Common Runtime (awscrt): its MQTT 3.1.1 and its MQTT 5 client.

Neither client speaks QoS 2, because the service does not.
"""

import os
import subprocess
import sys
from concurrent.futures import Future

from awscrt import io, mqtt, mqtt5

from cases import DEADLINE_S, Inbox, arguments, check, run

ARGS = arguments(__doc__)


def _tls_context():
    if ARGS.transport not in ("tls", "wss"):
        return None
    options = io.TlsContextOptions.create_client_with_mtls_from_path(ARGS.cert, ARGS.key)
    options.override_default_trust_store_from_path(None, ARGS.ca)
    return io.ClientTlsContext(options)


TLS = _tls_context()
WEBSOCKET = ARGS.transport in ("ws", "wss")


def _as_it_is(transform_args, **_):
    """The WebSocket handshake request needs no change."""
    transform_args.set_done()


class Peer5(Inbox):
    """A connected `awscrt.mqtt5.Client`."""

    def __init__(self, name, persistent=False, will=None):
        super().__init__(ARGS.prefix)
        connected = Future()
        self._stopped = Future()
        session = mqtt5.ClientSessionBehaviorType
        self._client = mqtt5.Client(mqtt5.ClientOptions(
            host_name=ARGS.host,
            port=ARGS.port,
            tls_ctx=TLS,
            websocket_handshake_transform=_as_it_is if WEBSOCKET else None,
            session_behavior=session.REJOIN_ALWAYS if persistent else session.CLEAN,
            connect_options=mqtt5.ConnectPacket(
                client_id=f"{ARGS.prefix}-{name}",
                keep_alive_interval_sec=60,
                session_expiry_interval_sec=300 if persistent else None,
                will=will and self._packet(*will),
            ),
            on_publish_callback_fn=lambda d: self._on_publish(d.publish_packet),
            on_lifecycle_event_connection_success_fn=connected.set_result,
            on_lifecycle_event_connection_failure_fn=lambda d: connected.set_exception(d.exception),
            on_lifecycle_event_stopped_fn=self._stopped.set_result,
        ))
        self._client.start()
        self.session_present = connected.result(DEADLINE_S).connack_packet.session_present

    def _packet(self, topic, payload, qos, retain=False):
        return mqtt5.PublishPacket(
            topic=self.topic(topic), payload=payload, qos=mqtt5.QoS(qos), retain=retain
        )

    def _on_publish(self, packet):
        self.put(packet.topic, packet.payload, packet.qos, packet.retain)

    def subscribe(self, topic_filter, qos):
        """Waits for SUBACK and returns its code."""
        wanted = mqtt5.Subscription(self.topic(topic_filter), mqtt5.QoS(qos))
        suback = self._client.subscribe(mqtt5.SubscribePacket([wanted])).result(DEADLINE_S)
        return int(suback.reason_codes[0])

    def publish(self, topic, payload, qos, retain=False):
        """Waits until the exchange of this QoS is complete."""
        packet = self._packet(topic, payload, qos, retain)
        done = self._client.publish(packet).result(DEADLINE_S)
        if qos == 1:
            check("PUBACK accepts", int(done.puback.reason_code) < 0x80, True)

    def crash(self):
        """Drops the connection without a DISCONNECT packet."""
        self._client.stop()

    def close(self):
        """Disconnects in the regular way; harmless after a crash."""
        if not self._stopped.done():
            self._client.stop(mqtt5.DisconnectPacket())
            self._stopped.result(DEADLINE_S)


class Peer4(Inbox):
    """A connected `awscrt.mqtt.Connection`."""

    def __init__(self, name, persistent=False, will=None):
        super().__init__(ARGS.prefix)
        self._name = name
        self._open = True
        self._connection = mqtt.Connection(
            client=mqtt.Client(tls_ctx=TLS),
            host_name=ARGS.host,
            port=ARGS.port,
            client_id=f"{ARGS.prefix}-{name}",
            clean_session=not persistent,
            keep_alive_secs=60,
            use_websockets=WEBSOCKET,
            will=will and mqtt.Will(self.topic(will[0]), mqtt.QoS(will[2]), will[1].encode(), False),
        )
        self._connection.on_message(self._on_message)
        self.session_present = self._connection.connect().result(DEADLINE_S)["session_present"]

    def _on_message(self, topic, payload, dup, qos, retain, **_):
        self.put(topic, payload, qos, retain)

    def subscribe(self, topic_filter, qos):
        """Waits for SUBACK and returns its code."""
        future, _ = self._connection.subscribe(self.topic(topic_filter), mqtt.QoS(qos))
        return int(future.result(DEADLINE_S)["qos"])

    def publish(self, topic, payload, qos, retain=False):
        """Waits until the exchange of this QoS is complete."""
        future, _ = self._connection.publish(self.topic(topic), payload, mqtt.QoS(qos), retain)
        future.result(DEADLINE_S)

    def crash(self):
        """Drops a connection without a DISCONNECT packet.

        This client always sends one, so a second process connects in its place, and dies.
        """
        self.close()
        command = [sys.executable, *sys.argv, "--crash", self._name]
        check("crashed", subprocess.run(command, timeout=DEADLINE_S).returncode, 1)

    def close(self):
        """Disconnects in the regular way, once."""
        if self._open:
            self._open = False
            self._connection.disconnect().result(DEADLINE_S)


if ARGS.crash:
    Peer4(ARGS.crash, will=("will/gone", "gone", 1))
    os._exit(1)
run(ARGS.cases, Peer5 if ARGS.version == "5" else Peer4)
