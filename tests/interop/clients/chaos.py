"""Clients of one library for the chaos run: Paho Python or the AWS Common Runtime, in one process.

Standard input, one command per line (`ID` is a Client Identifier):

    open ID CLEAN                 a new client; with CLEAN 1 its first connection starts anew
    sub ID QOS FILTER...          subscribe
    pub ID TOPIC QOS RETAIN TEXT  publish
    cut ID                        lose the connection, without DISCONNECT; it comes back by itself
    leave ID                      DISCONNECT, and stay away
    back ID                       connect again
    stop ID                       forget the client; its connection is lost

Standard output, one event per line:

    up ID SESSION_PRESENT         CONNACK accepts
    down ID                       the connection is gone
    suback ID                     SUBACK grants
    got ID TOPIC QOS TEXT         a message
    acked ID TEXT                 the exchange of a message is complete
    gone ID                       the client was stopped
    note ID WORDS                 something that the library said of itself
"""

import argparse
import sys
import threading

PARSER = argparse.ArgumentParser(description=__doc__)
PARSER.add_argument("--library", choices=["paho", "awscrt"], required=True)
PARSER.add_argument("--port", type=int, required=True)
PARSER.add_argument("--keep-alive", type=int, required=True)
ARGS = PARSER.parse_args()

SESSION_EXPIRY = 0xFFFF_FFFF
OUTPUT = threading.Lock()


def say(*words):
    """One line for the driver, at once and whole."""
    line = " ".join(str(word) for word in words).replace("\n", " ")
    with OUTPUT:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def text_of(payload):
    """A payload as one word."""
    return payload.decode("utf-8", "replace").replace(" ", "_").replace("\n", "_") or "-"


def word(topic):
    """A topic as one word."""
    return topic.replace(" ", "_") or "-"


class Paho:
    """A `paho.mqtt.client.Client` with its network thread."""

    def __init__(self, name, clean):
        # pylint: disable=import-outside-toplevel
        import paho.mqtt.client as mqtt
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        self._name = name
        self._texts = {}
        self._subscribes = set()
        self._client = client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv5
        )
        client.reconnect_delay_set(0.05, 0.1)
        client.on_connect = self._on_connect
        client.on_disconnect = lambda *_: say("down", name)
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_message = lambda _, __, m: say("got", name, word(m.topic), m.qos, text_of(m.payload))
        client.will_set("will/" + name, f"will-{name}", 1)
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = SESSION_EXPIRY
        start = mqtt.MQTT_CLEAN_START_FIRST_ONLY if clean else False
        client.connect_async(
            "127.0.0.1", ARGS.port, ARGS.keep_alive, clean_start=start, properties=properties
        )
        client.loop_start()

    def _on_connect(self, _client, _data, flags, reason, _properties):
        if not reason.is_failure:
            say("up", self._name, int(flags.session_present))

    def _on_subscribe(self, _client, _data, mid, reasons, _properties):
        if mid in self._subscribes and not any(reason.is_failure for reason in reasons):
            say("suback", self._name)

    def _on_publish(self, _client, _data, mid, _reason, _properties):
        say("acked", self._name, self._texts.pop(mid, "-"))

    def subscribe(self, qos, filters):
        """Sends SUBSCRIBE."""
        _, mid = self._client.subscribe([(name, qos) for name in filters])
        if mid is not None:
            self._subscribes.add(mid)

    def publish(self, topic, qos, retain, text):
        """Sends PUBLISH, or keeps it until there is a connection."""
        self._texts[self._client.publish(topic, text, qos, retain).mid] = text

    def cut(self):
        """Ends the socket."""
        connection = self._client.socket()
        if connection is not None:
            connection.shutdown(2)

    def leave(self):
        """Sends DISCONNECT."""
        self._client.disconnect()

    def back(self):
        """Connects again."""
        self._client.loop_stop()
        self._client.reconnect()
        self._client.loop_start()

    def stop(self):
        """Ends the socket for good."""
        self._client.on_disconnect = self._client.on_message = None
        self.cut()
        # The thread would connect again, also from between two attempts and out of one.
        self._client.disconnect()
        threading.Thread(target=self._client.loop_stop, daemon=True).start()

    def wait(self):
        """The socket is closed already."""


class AwsCrt:
    """An `awscrt.mqtt5.Client`. It has no QoS 2."""

    def __init__(self, name, clean):
        # pylint: disable=import-outside-toplevel
        from awscrt import mqtt5

        self._mqtt5 = mqtt5
        self._name = name
        self._stopped = threading.Event()
        session = mqtt5.ClientSessionBehaviorType
        self._client = mqtt5.Client(mqtt5.ClientOptions(
            host_name="127.0.0.1",
            port=ARGS.port,
            session_behavior=session.REJOIN_POST_SUCCESS if clean else session.REJOIN_ALWAYS,
            connect_options=mqtt5.ConnectPacket(
                client_id=name,
                keep_alive_interval_sec=ARGS.keep_alive,
                session_expiry_interval_sec=SESSION_EXPIRY,
            ),
            min_reconnect_delay_ms=50,
            max_reconnect_delay_ms=100,
            ping_timeout_ms=1000,
            connack_timeout_ms=2000,
            on_publish_callback_fn=self._on_publish,
            on_lifecycle_event_connection_success_fn=lambda d: say(
                "up", name, int(d.connack_packet.session_present)),
            on_lifecycle_event_disconnection_fn=lambda d: say("down", name, d.exception),
            on_lifecycle_event_stopped_fn=lambda _: self._stopped.set(),
        ))
        self._client.start()

    def _on_publish(self, data):
        packet = data.publish_packet
        say("got", self._name, word(packet.topic), int(packet.qos), text_of(packet.payload))

    def subscribe(self, qos, filters):
        """Sends SUBSCRIBE."""
        mqtt5 = self._mqtt5
        wanted = [mqtt5.Subscription(name, mqtt5.QoS(min(qos, 1))) for name in filters]
        future = self._client.subscribe(mqtt5.SubscribePacket(wanted))
        future.add_done_callback(self._subscribed)

    def _subscribed(self, future):
        if future.exception() is not None:
            say("note", self._name, "SUBSCRIBE:", future.exception())
        elif all(int(code) < 0x80 for code in future.result().reason_codes):
            say("suback", self._name)

    def publish(self, topic, qos, retain, text):
        """Sends PUBLISH, or keeps it until there is a connection."""
        mqtt5 = self._mqtt5
        future = self._client.publish(mqtt5.PublishPacket(
            topic=topic, payload=text, qos=mqtt5.QoS(min(qos, 1)), retain=retain))

        def published(future):
            if future.exception() is None:
                say("acked", self._name, text)
        future.add_done_callback(published)

    def cut(self):
        """Closes the socket, and connects again."""
        self._stopped.clear()
        self._client.stop()
        self._stopped.wait(2)
        self._client.start()

    def leave(self):
        """Sends DISCONNECT."""
        self._stopped.clear()
        self._client.stop(self._mqtt5.DisconnectPacket())

    def back(self):
        """Connects again."""
        self._stopped.wait(2)
        self._client.start()

    def stop(self):
        """Closes the socket for good."""
        self._stopped.clear()
        self._client.stop()

    def wait(self):
        """Waits until it is closed. Without CONNACK that takes as long as one may take."""
        self._stopped.wait(5)


CLIENTS = {}


def carry_out(command, name, *rest):
    """One command."""
    if command in ("open", "stop"):
        former = CLIENTS.pop(name, None)
        if former is not None:
            former.stop()
        if command == "stop":
            if former is not None:
                former.wait()
            say("gone", name)
        else:
            CLIENTS[name] = {"paho": Paho, "awscrt": AwsCrt}[ARGS.library](name, rest[0] == "1")
        return
    client = CLIENTS[name]
    if command == "sub":
        client.subscribe(int(rest[0]), rest[1:])
    elif command == "pub":
        topic, qos, retain, text = rest
        client.publish(topic, int(qos), retain == "1", text)
    else:
        {"cut": client.cut, "leave": client.leave, "back": client.back}[command]()


def thread_failed(args):
    """What a library's thread dies of is told, in one line."""
    say("note", "-", f"thread {args.thread.name} ended by {args.exc_type.__name__}: {args.exc_value}")


threading.excepthook = thread_failed
for line in sys.stdin:
    words = line.split()
    try:
        carry_out(*words)
    except Exception as error:  # pylint: disable=broad-exception-caught
        say("note", words[1], f"{words[0]}: {type(error).__name__}: {error}")
