"""Paho Python over a Unix socket, with messages that are larger than a socket takes at once.

Prints one JSON object per case and line, as the clients of the matrix do.
"""

import sys
import threading

import paho.mqtt.client as mqtt

import sdk
from cases import DEADLINE_S, check

PATH = sys.argv[1]
PAYLOAD = bytes(range(256)) * 4096


def exchange(version):
    """Sends itself a megabyte at each QoS."""
    got, subscribed, done = [], threading.Event(), threading.Event()

    def on_message(_client, _data, message):
        got.append((message.qos, message.payload == PAYLOAD))
        if len(got) == 3:
            done.set()

    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=f"paho-{version}", protocol=version,
                         transport="unix")
    client.on_connect = lambda *_: client.subscribe("big", qos=2)
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = on_message
    client.connect(PATH)
    client.loop_start()
    check("subscribed", subscribed.wait(DEADLINE_S), True)
    for qos in (0, 1, 2):
        client.publish("big", PAYLOAD, qos=qos)
    check("all came", done.wait(DEADLINE_S), True)
    check("messages", sorted(got), [(0, True), (1, True), (2, True)])
    client.disconnect()
    client.loop_stop()


def mqtt311():
    exchange(mqtt.MQTTv311)


def mqtt5():
    exchange(mqtt.MQTTv5)


sdk.report_and_exit([mqtt311, mqtt5])
