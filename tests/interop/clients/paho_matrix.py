"""The interop matrix with Paho Python (paho-mqtt), MQTT 3.1.1 and 5, over all four transports."""

import threading

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from cases import DEADLINE_S, Inbox, arguments, check, run

ARGS = arguments(__doc__)
FIVE = ARGS.version == "5"


class Peer(Inbox):
    """A connected Paho client."""

    def __init__(self, name, persistent=False, will=None):
        super().__init__(ARGS.prefix)
        self._connected = threading.Event()
        self._granted = {}
        self._subscribed = threading.Condition()
        self._client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2,
            client_id=f"{ARGS.prefix}-{name}",
            protocol=mqtt.MQTTv5 if FIVE else mqtt.MQTTv311,
            transport="websockets" if ARGS.transport in ("ws", "wss") else "tcp",
            clean_session=None if FIVE else not persistent,
        )
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = lambda _client, _data, m: self.put(
            m.topic, m.payload, m.qos, m.retain
        )
        if ARGS.transport in ("ws", "wss"):
            self._client.ws_set_options(path="/mqtt")
        if ARGS.transport in ("tls", "wss"):
            self._client.tls_set(ca_certs=ARGS.ca, certfile=ARGS.cert, keyfile=ARGS.key)
        if will is not None:
            topic, payload, qos = will
            self._client.will_set(self.topic(topic), payload, qos)
        options = {}
        if FIVE:
            options["clean_start"] = not persistent
            options["properties"] = Properties(PacketTypes.CONNECT)
            options["properties"].SessionExpiryInterval = 300 if persistent else 0
        self._client.connect(ARGS.host, ARGS.port, keepalive=60, **options)
        self._client.loop_start()
        if not self._connected.wait(DEADLINE_S):
            raise AssertionError("no CONNACK within the deadline")
        check("CONNACK reason", self._reason, 0)

    def _on_connect(self, _client, _data, flags, reason, _properties):
        self.session_present = bool(flags.session_present)
        self._reason = reason.value
        self._connected.set()

    def _on_subscribe(self, _client, _data, mid, reasons, _properties):
        with self._subscribed:
            self._granted[mid] = reasons[0].value
            self._subscribed.notify_all()

    def subscribe(self, topic_filter, qos):
        """Waits for SUBACK and returns its code."""
        _, mid = self._client.subscribe(self.topic(topic_filter), qos)
        with self._subscribed:
            if not self._subscribed.wait_for(lambda: mid in self._granted, DEADLINE_S):
                raise AssertionError("no SUBACK within the deadline")
            return self._granted[mid]

    def publish(self, topic, payload, qos, retain=False):
        """Waits until the exchange of this QoS is complete."""
        info = self._client.publish(self.topic(topic), payload, qos, retain)
        info.wait_for_publish(DEADLINE_S)
        check("published", info.is_published(), True)

    def crash(self):
        """Drops the connection without a DISCONNECT packet."""
        self._client.loop_stop()
        self._client.socket().close()

    def close(self):
        """Disconnects in the regular way; harmless after a crash."""
        self._client.disconnect()
        self._client.loop_stop()


run(ARGS.cases, Peer)
