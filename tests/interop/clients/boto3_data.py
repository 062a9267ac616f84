"""The data plane: messages, retained messages, connections, and what is told of a thing's connection."""

import datetime
import json
import queue
from urllib.parse import quote
from urllib.request import urlopen

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from boto3_support import body, refused
from cases import DEADLINE_S, check

USER_PROPERTIES = [{"deviceName": "alpha"}, {"deviceCnt": "45"}]


class Peer:
    """An MQTT 5 client, connected until the end of the block, for the broker too."""

    def __init__(self, aws, client_id, session_s=0):
        wait = f"wait={DEADLINE_S}s&connected=false"
        self.until_gone = f"{aws.endpoint}/v1/clients/{quote(client_id, safe='')}?{wait}"
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id, protocol=mqtt.MQTTv5)
        self.messages, self.events = queue.Queue(), queue.Queue()
        self.client.on_message = lambda _client, _data, message: self.messages.put(message)
        for event in ("on_connect", "on_subscribe", "on_disconnect"):
            setattr(self.client, event, lambda *_, event=event: self.events.put(event))
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = session_s
        self.client.connect("127.0.0.1", aws.mqtt_port, keepalive=60, properties=properties)
        self.client.loop_start()
        self.expect("on_connect")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.disconnect()
        self.client.loop_stop()
        urlopen(self.until_gone).close()

    def expect(self, event):
        check("event", self.events.get(timeout=DEADLINE_S), event)

    def subscribe(self, topic):
        self.client.subscribe(topic, qos=1)
        self.expect("on_subscribe")

    def receive(self):
        return self.messages.get(timeout=DEADLINE_S)


def now_ms():
    return datetime.datetime.now().timestamp() * 1000


def properties_of(message):
    found = message.properties
    return {"pairs": found.UserProperty, "format": found.PayloadFormatIndicator,
            "type": found.ContentType, "answer": found.ResponseTopic,
            "data": found.CorrelationData}


GIVEN = {"userProperties": json.dumps(USER_PROPERTIES), "payloadFormatIndicator": "UTF8_DATA",
         "contentType": "text/plain", "responseTopic": "an/answer", "correlationData": "AAEC"}
WANTED = {"pairs": [("deviceName", "alpha"), ("deviceCnt", "45")], "format": 1,
          "type": "text/plain", "answer": "an/answer", "data": b"\0\1\2"}


def messages(aws):
    """AWS-DATA-01, -02, AWS-OPS-04, -08: with all properties, to a topic that has to be encoded."""
    data = aws.client("iot-data")
    with Peer(aws, "receiver") as peer:
        peer.subscribe("a/b c/%x")
        data.publish(topic="a/b c/%x", qos=1, payload=b"\0hello", messageExpiry=60, **GIVEN)
        message = peer.receive()
        check("message", (message.topic, message.payload, message.qos),
              ("a/b c/%x", b"\0hello", 1))
        check("properties", properties_of(message), WANTED)
        check("expiry", message.properties.MessageExpiryInterval, 60)
        data.publish(topic="a/b c/%x")
        check("an empty one", peer.receive().payload, b"")
    refused(data.exceptions.InvalidRequestException, data.publish, "'qos'", topic="t", qos=2)
    refused(data.exceptions.InvalidRequestException, data.publish, topic="a/#")


def retained(aws):
    """AWS-DATA-03, -04: kept, read, listed in pages, deleted."""
    data = aws.client("iot-data")
    errors = data.exceptions
    refused(errors.ResourceNotFoundException, data.get_retained_message, topic="r/0")
    before = now_ms()
    for number in range(5):
        data.publish(topic=f"r/{number}", retain=True, qos=1, payload=b"kept",
                     userProperties=json.dumps(USER_PROPERTIES))
    found = body(data.get_retained_message(topic="r/3"))
    check("time", before - 1 <= found.pop("lastModifiedTime") <= now_ms() + 1, True)
    check("properties", json.loads(found.pop("userProperties")), USER_PROPERTIES)
    check("message", found, {"topic": "r/3", "payload": b"kept", "qos": 1})
    pages = data.get_paginator("list_retained_messages").paginate(PaginationConfig={"PageSize": 2})
    pages = [page["retainedTopics"] for page in pages]
    check("pages", [len(page) for page in pages], [2, 2, 1])
    topics = [(found["topic"], found["payloadSize"]) for page in pages for found in page]
    check("list", topics, [(f"r/{number}", 4) for number in range(5)])
    for topic, _ in topics:
        data.publish(topic=topic, retain=True)
    check("deleted", body(data.list_retained_messages()), {"retainedTopics": []})


def connections(aws):
    """AWS-DATA-07 to -09, -11: what is told of a client, and how its connection is ended."""
    data = aws.client("iot-data")
    errors = data.exceptions
    with Peer(aws, "a/b", session_s=600) as peer:
        found = body(data.get_connection(clientId="a/b", includeSocketInformation=True))
        check("since", abs(found.pop("connectedSince") - now_ms()) < 10_000, True)
        check("port", found.pop("targetPort"), aws.mqtt_port)
        check("address", (found.pop("sourceIp"), found.pop("targetIp")), ("127.0.0.1",) * 2)
        check("source port", found.pop("sourcePort") > 0, True)
        check("connection", found, {"clientId": "a/b", "connected": True, "cleanSession": False,
                                    "keepAliveDuration": 60, "sessionExpiry": 600})
        for number in range(5):
            peer.subscribe(f"s/{number}/+")
        pages = data.get_paginator("list_subscriptions")
        pages = pages.paginate(clientId="a/b", PaginationConfig={"PageSize": 2})
        pages = [page["subscriptions"] for page in pages]
        check("pages", [len(page) for page in pages], [2, 2, 1])
        check("first", pages[0][0], {"topicFilter": "s/0/+", "qos": 1})
        check("deleted", body(data.delete_connection(clientId="a/b", cleanSession=True,
                                                     preventWillMessage=True)), {})
        peer.expect("on_disconnect")
        # It would connect again.
        peer.client.loop_stop()
    refused(errors.ResourceNotFoundException, data.list_subscriptions, clientId="a/b")
    refused(errors.ResourceNotFoundException, data.delete_connection, clientId="a/b")
    refused(errors.ResourceNotFoundException, data.get_connection, clientId="nobody")
    refused(errors.InvalidRequestException, data.get_connection, "'clientId'", clientId="$x")


def direct_messages(aws):
    """AWS-DATA-10: to one client, which need not subscribe, with confirmation or without."""
    data = aws.client("iot-data")
    errors = data.exceptions
    with Peer(aws, "a/b") as peer:
        for qos, more in ((0, {}), (1, {"confirmation": True, "timeout": 15})):
            sent = body(data.send_direct_message(clientId="a/b", topic="t/1", payload=b"hello",
                                                 **more, **GIVEN))
            check("answer", (sent["message"], len(sent["traceId"])), ("OK", 36))
            message = peer.receive()
            check("message", (message.topic, message.payload, message.qos),
                  ("t/1", b"hello", qos))
            check("properties", properties_of(message), WANTED)
    refused(errors.ResourceNotFoundException, data.send_direct_message, clientId="a/b", topic="t")
    refused(errors.InvalidRequestException, data.send_direct_message, "'timeout'", clientId="a/b",
            topic="t", confirmation=True, timeout=16)


def connectivity(aws):
    """AWS-LIFE-21: of a thing that is connected, was, or never was."""
    iot = aws.iot
    refused(iot.exceptions.ResourceNotFoundException, iot.get_thing_connectivity_data,
            thingName="car1")
    iot.create_thing(thingName="car1")

    def connection(**more):
        return body(iot.get_thing_connectivity_data(thingName="car1", **more))

    check("never", connection(), {"thingName": "car1", "connected": False})
    with Peer(aws, "car1"):
        found = connection(includeSocketInformation=True)
        since = found.pop("timestamp").timestamp() * 1000
        check("since", abs(since - now_ms()) < 10_000, True)
        check("port", found.pop("sourcePort") > 0, True)
        check("connected", found, {
            "thingName": "car1", "connected": True, "clientId": "car1", "cleanSession": True,
            "keepAliveDuration": 60, "sessionExpiry": 0, "sourceIp": "127.0.0.1",
            "targetIp": "127.0.0.1", "targetPort": aws.mqtt_port})
    while (found := connection())["connected"]:
        pass
    check("reason", found["disconnectReason"], "CLIENT_INITIATED_DISCONNECT")
    iot.delete_thing(thingName="car1")


CASES = [messages, retained, connections, direct_messages, connectivity]
