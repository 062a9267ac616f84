"""What Paho does about faults that packet rules make, and esp-mqtt's list of controls, over HTTP.

Prints one JSON object per case and line, as the clients of the matrix do.
"""

import argparse
import json
import queue
import urllib.error
import urllib.request

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from cases import DEADLINE_S, check, report_all

PARSER = argparse.ArgumentParser(description=__doc__)
PARSER.add_argument("--http", required=True)
PARSER.add_argument("--port", type=int, required=True)
ARGS = PARSER.parse_args()


def call(method, path, body=None, want=200):
    """A call of the control API."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(ARGS.http + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read()
    check(f"{method} {path}: {text}", status, want)
    return json.loads(text)


def rule(matches, do, **more):
    return call("POST", "/v1/rules", {"match": matches, "do": do, **more}, 201)


def rows(query, count=1):
    """The first rows of the journal since its beginning."""
    return call("GET", f"/v1/journal/wait?since=0&{query}&count={count}&timeout={DEADLINE_S}s")["rows"]


class Peer:
    """A client of MQTT 5 that notes what happens to it."""

    def __init__(self, client_id, expiry=0, **options):
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id, protocol=mqtt.MQTTv5)
        self.client.reconnect_delay_set(min_delay=1, max_delay=1)
        self.events, self.messages = queue.Queue(), queue.Queue()
        self.client.on_connect = lambda c, u, flags, reason, properties: self.events.put(
            ("connected", reason.value, flags.session_present))
        self.client.on_disconnect = lambda c, u, flags, reason, properties: self.events.put(
            ("disconnected", reason.value, flags.is_disconnect_packet_from_server))
        self.client.on_subscribe = lambda c, u, mid, reasons, properties: self.events.put(
            ("subscribed", [reason.value for reason in reasons]))
        self.client.on_message = lambda c, u, message: self.messages.put(message.payload.decode())
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = expiry
        self.client.connect("127.0.0.1", ARGS.port, properties=properties,
                            clean_start=mqtt.MQTT_CLEAN_START_FIRST_ONLY, **options)
        self.client.loop_start()

    def event(self):
        return self.events.get(timeout=DEADLINE_S)

    def message(self):
        return self.messages.get(timeout=DEADLINE_S)

    def subscribe(self, topic):
        self.client.subscribe(topic, 1)
        check("granted", self.event(), ("subscribed", [1]))

    def publish(self, topic, payload):
        return self.client.publish(topic, payload, 1)

    def stop(self):
        self.client.disconnect()
        self.client.loop_stop()


def connected(client_id, **options):
    peer = Peer(client_id, **options)
    check("connected", peer.event()[:2], ("connected", 0))
    return peer


def controls_of_esp_mqtt():
    """Wait for n that are held, release n, inject an acknowledgement, discard, disconnect all."""
    sender = connected("esp")
    rule({"type": "PUBACK", "direction": "out", "client": "esp"}, "hold", name="hold")
    sent = [sender.publish("t", str(n)) for n in range(4)]
    held = call("GET", f"/v1/held?count=4&wait={DEADLINE_S}s")["held"]
    check("held", [packet["packet"]["type"] for packet in held], ["PUBACK"] * 4)
    check("released", call("POST", "/v1/held/release?n=2"), {"released": 2})
    for info in sent[:2]:
        info.wait_for_publish(DEADLINE_S)
    check("acknowledged", [info.is_published() for info in sent], [True, True, False, False])
    check("discarded", call("POST", "/v1/held/discard?n=1"), {"discarded": 1})
    call("POST", "/v1/inject", {"client": "esp", "direction": "out",
                                "packet": {"type": "PUBACK", "packet_id": sent[2].mid}})
    sent[2].wait_for_publish(DEADLINE_S)
    call("DELETE", "/v1/rules")
    call("POST", "/v1/inject", {"client": "esp", "direction": "out",
                                "packet": {"type": "DISCONNECT", "reason": 0x8b}})
    check("disconnected", sender.event(), ("disconnected", 0x8b, True))
    sender.stop()


def properties_of_connack():
    """It takes them from the packet. (Paho 2.2.0 reads Receive Maximum and does not keep to it.)"""
    changed = {"receive_maximum": 1, "assigned_client_identifier": "other", "server_keep_alive": 7}
    rule({"type": "CONNACK", "client": "narrow"}, "replace", set={"properties": changed}, times=1)
    got = queue.Queue()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "narrow", protocol=mqtt.MQTTv5)
    client.on_connect = lambda c, u, flags, reason, properties: got.put(properties.json())
    client.connect("127.0.0.1", ARGS.port)
    client.loop_start()
    found = got.get(timeout=DEADLINE_S)
    for name, value in [("ReceiveMaximum", 1), ("AssignedClientIdentifier", "other"), ("ServerKeepAlive", 7)]:
        check(name, found[name], value)
    client.disconnect()
    client.loop_stop()


def puback_that_is_lost():
    """MQTT-4.4.0-1: after the next CONNECT the message is sent again, with DUP and its identifier."""
    sender = connected("resender", expiry=60)
    rule({"type": "PUBACK", "direction": "out", "client": "resender"}, "drop", times=1, name="lost")
    info = sender.publish("t", "x")
    call("GET", f"/v1/rules/lost?hits=1&wait={DEADLINE_S}s")
    call("DELETE", "/v1/clients/resender")
    check("disconnected", sender.event()[0], "disconnected")
    check("connected", sender.event(), ("connected", 0, True))
    info.wait_for_publish(DEADLINE_S)
    first, second = rows("type=PUBLISH&client=resender", 2)
    ids = [row["packet"]["packet_id"] for row in (first, second)]
    check("identifiers", ids[0], ids[1])
    check("DUP", [row["packet"]["dup"] for row in (first, second)], [False, True])
    acks = rows("type=PUBACK&client=resender", 2)
    check("answers", [row["answers"] for row in acks], [first["number"], second["number"]])
    sender.stop()


def connection_that_is_reset():
    """It connects again by itself, and what it had sent is sent again."""
    sender = connected("reset", expiry=60)
    rule({"type": "PUBLISH", "direction": "in", "client": "reset"}, "reset", times=1)
    info = sender.publish("t", "x")
    check("disconnected", sender.event(), ("disconnected", 0x80, False))
    check("connected", sender.event(), ("connected", 0, True))
    info.wait_for_publish(DEADLINE_S)
    ends = rows("event=disconnected&client=reset")
    check("cause", ends[0]["text"], "by network: reset by a packet rule")
    sender.stop()


def pingresp_that_never_comes():
    """MQTT-3.1.2-22 from the other side: the client gives the connection up."""
    peer = connected("mute", keepalive=1)
    rule({"client": "mute"}, "mute_pings", name="mute")
    check("disconnected", peer.event()[0], "disconnected")
    call("DELETE", "/v1/rules/mute")
    # It tells of the end twice.
    while (event := peer.event())[0] != "connected":
        check("disconnected", event[0], "disconnected")
    peer.stop()


def answers_that_refuse():
    peer = Peer("refused")
    check("connected", peer.event()[:2], ("connected", 0))
    rule({"type": "SUBACK", "client": "refused"}, "replace", set={"reason": 0x87}, times=1)
    peer.client.subscribe("t", 1)
    check("granted", peer.event(), ("subscribed", [0x87]))
    peer.stop()
    rule({"type": "CONNACK", "client": "unwelcome"}, "replace", set={"reason": 0x89}, times=1)
    peer = Peer("unwelcome")
    check("connected", peer.event()[:2], ("connected", 0x89))
    peer.stop()


def message_that_comes_twice():
    """QoS 2: a PUBLISH that is doubled on its way is one message (MQTT-4.3.3-10)."""
    receiver = connected("receiver")
    receiver.subscribe("twice")
    rule({"type": "PUBLISH", "direction": "in", "client": "doubled"}, "duplicate")
    sender = connected("doubled")
    sender.client.publish("twice", "once", 2).wait_for_publish(DEADLINE_S)
    sender.publish("twice", "twice").wait_for_publish(DEADLINE_S)
    check("messages", [receiver.message() for _ in range(3)], ["once", "twice", "twice"])
    call("DELETE", "/v1/rules")
    sender.stop()
    receiver.stop()


report_all([controls_of_esp_mqtt, properties_of_connack, puback_that_is_lost, connection_that_is_reset,
            pingresp_that_never_comes, answers_that_refuse, message_that_comes_twice])
