"""The controls that the tests of esp-mqtt have over their broker, over HTTP, and properties of CONNACK, with Paho.

Prints one JSON object per case and line, as the clients of the matrix do.
"""

import argparse
import json
import queue
import urllib.error
import urllib.request

import paho.mqtt.client as mqtt

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


class Peer:
    """A client of MQTT 5 that notes what happens to it."""

    def __init__(self, client_id):
        self.events = queue.Queue()
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id, protocol=mqtt.MQTTv5)
        self.client.on_connect = lambda c, u, flags, reason, properties: self.events.put(
            ("connected", reason.value, properties))
        self.client.on_disconnect = lambda c, u, flags, reason, properties: self.events.put(
            ("disconnected", reason.value, flags.is_disconnect_packet_from_server))
        self.client.connect("127.0.0.1", ARGS.port)
        self.client.loop_start()

    def event(self):
        return self.events.get(timeout=DEADLINE_S)

    def stop(self):
        self.client.disconnect()
        self.client.loop_stop()


def controls_of_esp_mqtt():
    """Wait for n that are held, release n, inject an acknowledgement, discard, disconnect all."""
    sender = Peer("esp")
    check("connected", sender.event()[:2], ("connected", 0))
    rule({"type": "PUBACK", "direction": "out", "client": "esp"}, "hold", name="hold")
    sent = [sender.client.publish("t", str(n), 1) for n in range(4)]
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
    """It takes them from the packet."""
    changed = {"receive_maximum": 1, "assigned_client_identifier": "other", "server_keep_alive": 7}
    rule({"type": "CONNACK", "client": "narrow"}, "replace", set={"properties": changed}, times=1)
    peer = Peer("narrow")
    found = peer.event()[2].json()
    for name, value in [("ReceiveMaximum", 1), ("AssignedClientIdentifier", "other"), ("ServerKeepAlive", 7)]:
        check(name, found[name], value)
    peer.stop()


report_all([controls_of_esp_mqtt, properties_of_connack])
