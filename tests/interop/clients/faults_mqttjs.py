"""What MQTT.js does about faults that packet rules make: see fault_cases.py. The clients are in faults_mqttjs.mjs."""

import json
import queue
import subprocess
import threading
from pathlib import Path

import fault_cases


class Node:
    """A process of Node.js that has the clients. It ends with its standard input."""

    def __init__(self):
        program = Path(__file__).with_name("faults_mqttjs.mjs")
        self._process = subprocess.Popen(["node", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._peers, self._done, self._asking = {}, queue.SimpleQueue(), threading.Lock()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self._process.stdout:
            told = json.loads(line)
            if "done" in told:
                self._done.put(told)
            else:
                self._peers[told["client"]].tell(told["text"])

    def add(self, client_id, peer):
        self._peers[client_id] = peer

    def do(self, client_id, what, *given):
        """Has it call the library, and returns when it has."""
        with self._asking:
            print(json.dumps({"client": client_id, "do": what, "given": given}), file=self._process.stdin, flush=True)
            self._done.get(timeout=fault_cases.PATIENCE_S)


NODE = Node()


class MqttJs(fault_cases.Peer):
    """A client of MQTT 5 that connects again after half a second."""

    # There is an option for the former.
    comes_again = closes_what_it_cannot_read = False

    def open(self, client_id, broker, keepalive=60, patience=20, clean=False):
        self._id = client_id
        NODE.add(client_id, self)
        NODE.do(client_id, "open", broker.url("mqtt"), keepalive, patience, clean)

    def publish(self, topic, payload, qos, retain=False):
        NODE.do(self._id, "publish", topic, payload, qos, retain)

    def subscribe(self, topic_filter, qos):
        NODE.do(self._id, "subscribe", topic_filter, qos)

    def catch_up(self):
        NODE.do(self._id, "nothing")

    def close(self):
        NODE.do(self._id, "close")


EXPECTED = {
    "puback_held": (
        "PUBLISH a",
        "PUBACK a [hold] PUBACK a [released]",
        "connected, published",
    ),
    "puback_dropped": (
        "PUBLISH a CONNECT PUBLISH a",
        "PUBACK a [drop] DISCONNECT 0x98 CONNACK session_present PUBACK a",
        "connected, got DISCONNECT 0x98, disconnected, published",
    ),
    "publish_dropped": (
        "PUBLISH a [drop] CONNECT PUBLISH a",
        "DISCONNECT 0x98 CONNACK session_present PUBACK a",
        "connected, got DISCONNECT 0x98, disconnected, published",
    ),
    "pubrec_dropped": (
        "PUBLISH a CONNECT PUBLISH a PUBREL a",
        "PUBREC a [drop] DISCONNECT 0x98 CONNACK session_present PUBREC a PUBCOMP a",
        "connected, got DISCONNECT 0x98, disconnected, published",
    ),
    "pubrel_dropped": (
        "PUBLISH a PUBREL a [drop] CONNECT PUBREL a",
        "PUBREC a DISCONNECT 0x98 CONNACK session_present PUBCOMP a",
        "connected, got DISCONNECT 0x98, disconnected, published",
    ),
    "pubcomp_dropped": (
        "PUBLISH a PUBREL a CONNECT PUBREL a",
        "PUBREC a PUBCOMP a [drop] DISCONNECT 0x98 CONNACK session_present PUBCOMP a 0x92",
        "connected, got DISCONNECT 0x98, disconnected, published 0x92 Publish error: Packet Identifier not found",
    ),
    "puback_discarded": (
        "PUBLISH a CONNECT PUBLISH a",
        "PUBACK a [hold] DISCONNECT 0x98 CONNACK PUBACK a",
        "connected, got DISCONNECT 0x98, disconnected, published, connected",
    ),
    "puback_delayed": (
        "PUBLISH a",
        "PUBACK a [delay] PUBACK a [released]",
        "connected, published",
    ),
    "puback_duplicated": (
        "PUBLISH a PUBLISH b",
        "PUBACK a [duplicate] PUBACK a [made] PUBACK b",
        "connected, published, published",
    ),
    "pubacks_reordered": (
        "PUBLISH a PUBLISH b",
        "PUBACK a [reorder] PUBACK b PUBACK a [released]",
        "connected, published, published",
    ),
    "puback_refuses": (
        "PUBLISH a",
        "PUBACK a 0x97 [made]",
        "connected, published 0x97 Publish error: Quota exceeded",
    ),
    "pubrec_refuses": (
        "PUBLISH a PUBLISH b",
        "PUBREC a 0x97 [made] PUBACK b",
        "connected, published 0x97 Publish error: Quota exceeded, published",
    ),
    "puback_of_nothing": (
        "PUBLISH b",
        "PUBACK a [released] PUBACK b",
        "connected, published",
    ),
    "puback_malformed": (
        "PUBLISH a CONNECT PUBLISH a",
        "PUBACK a [corrupt] DISCONNECT 0x98 CONNACK session_present PUBACK a",
        "connected, error Invalid header flag bits, must be 0x0 for puback packet, got DISCONNECT 0x98, "
        "disconnected, published",
    ),
    "publish_answered": (
        "PUBLISH a PUBLISH b [answer]",
        "PUBACK a PUBACK b 0x87 [released]",
        "connected, published, published 0x87 Publish error: Not authorized",
    ),
    "closed_before": (
        "PUBLISH a [close] CONNECT PUBLISH a",
        "CONNACK session_present PUBACK a",
        "connected, disconnected, published, connected with session",
    ),
    "closed_after": (
        "PUBLISH a [close] CONNECT",
        "PUBACK a CONNACK session_present",
        "connected, published, disconnected, connected with session",
    ),
    "reset_before": (
        "PUBLISH a [reset] CONNECT PUBLISH a",
        "CONNACK session_present PUBACK a",
        "connected, error read ECONNRESET, disconnected, published, connected with session",
    ),
    "half_closed": (
        "PUBLISH a [half_close] closes CONNECT PUBLISH a",
        "CONNACK session_present PUBACK a",
        "connected, disconnected, published, connected with session",
    ),
    "disconnected_before": (
        "PUBLISH a [disconnect] CONNECT PUBLISH a",
        "DISCONNECT 0x9c [made] CONNACK session_present PUBACK a",
        "connected, got DISCONNECT 0x9c, disconnected, published, connected with session",
    ),
    "closed_before_connack": (
        "CONNECT",
        "CONNACK [close] CONNACK session_present",
        "disconnected, connected with session",
    ),
    "disconnect_with_reason": (
        "CONNECT",
        "DISCONNECT 0x8b CONNACK session_present",
        "connected, got DISCONNECT 0x8b, disconnected, connected with session",
    ),
    "disconnect_injected": (
        "",
        "DISCONNECT 0x97 [released]",
        "connected, got DISCONNECT 0x97",
    ),
    "taken_over": (
        "",
        "DISCONNECT 0x8e [released]",
        "connected, got DISCONNECT 0x8e",
    ),
    "pings_muted": (
        "closes CONNECT",
        "PINGRESP [drop] CONNACK session_present",
        "connected, error Keepalive timeout, disconnected, connected with session",
    ),
    "reading_stopped": (
        "PINGREQ [stop_reading] closes CONNECT",
        "CONNACK session_present",
        "connected, error Keepalive timeout, disconnected, connected with session",
    ),
    "connack_refuses": (
        "closes",
        "CONNACK 0x89 [made]",
        "error Connection refused: Server busy, disconnected",
    ),
    "connect_answered": (
        "CONNECT [answer]",
        "CONNACK 0x9c [released]",
        "error Connection refused: Use another server, disconnected",
    ),
    "connack_malformed": (
        "closes CONNECT",
        "CONNACK [corrupt] CONNACK session_present",
        "error Invalid header flag bits, must be 0x0 for pingresp packet, error connack timeout, "
        "disconnected, connected with session",
    ),
    "connack_dropped": (
        "closes CONNECT",
        "CONNACK [drop] CONNACK session_present",
        "error connack timeout, disconnected, connected with session",
    ),
    "connack_twice": (
        "closes CONNECT PUBLISH a",
        "CONNACK [released] CONNACK session_present PUBACK a",
        "connected, error Protocol error: duplicate CONNACK on the same network connection, disconnected, "
        "connected with session, published",
    ),
    "session_that_is_none": (
        "PUBLISH a",
        "CONNACK session_present [made] PUBACK a",
        "connected with session, published",
    ),
    "receive_maximum": (
        "PUBLISH a PUBLISH b",
        "CONNACK [made] PUBACK a [hold] PUBACK b [hold]",
        "connected",
    ),
    "server_keep_alive": (
        "",
        "CONNACK [made]",
        "connected",
    ),
    "maximum_qos": (
        "PUBLISH a",
        "CONNACK [made] PUBACK a",
        "connected, published",
    ),
    "retain_unavailable": (
        "PUBLISH retain",
        "CONNACK [made]",
        "connected, published",
    ),
    "maximum_packet_size": (
        "PUBLISH",
        "CONNACK [made]",
        "connected, published",
    ),
    "suback_refuses": (
        "SUBSCRIBE a",
        "SUBACK a 0x87 [made]",
        "connected, subscribed 0x87 Subscribe error: Not authorized",
    ),
    "suback_dropped": (
        "SUBSCRIBE a CONNECT PUBLISH b",
        "SUBACK a [drop] DISCONNECT 0x98 CONNACK session_present PUBACK b",
        "connected, got DISCONNECT 0x98, disconnected, not subscribed Connection closed, connected with "
        "session, published",
    ),
    "message_dropped": (
        "SUBSCRIBE a CONNECT PUBACK A",
        "SUBACK a PUBLISH A [drop] DISCONNECT 0x98 CONNACK session_present PUBLISH A dup",
        "connected, subscribed, got DISCONNECT 0x98, disconnected, connected with session, message x",
    ),
    "puback_to_broker_dropped": (
        "SUBSCRIBE a PUBACK A [drop] CONNECT PUBACK A",
        "SUBACK a PUBLISH A DISCONNECT 0x98 CONNACK session_present PUBLISH A dup",
        "connected, subscribed, message x, got DISCONNECT 0x98, disconnected, connected with session, message x",
    ),
    "pubrec_to_broker_dropped": (
        "SUBSCRIBE a PUBREC A [drop] CONNECT PUBREC A PUBCOMP A PUBREC B PUBCOMP B",
        "SUBACK a PUBLISH A DISCONNECT 0x98 CONNACK session_present PUBLISH A dup PUBREL A PUBLISH B PUBREL B",
        "connected, subscribed, got DISCONNECT 0x98, disconnected, connected with session, message x, message y",
    ),
    "message_duplicated": (
        "SUBSCRIBE a PUBACK A PUBACK A",
        "SUBACK a PUBLISH A [duplicate] PUBLISH A [made]",
        "connected, subscribed, message x, message x",
    ),
    "message_duplicated_qos_2": (
        "SUBSCRIBE a PUBREC A PUBREC A PUBCOMP A PUBCOMP A PUBREC B PUBCOMP B",
        "SUBACK a PUBLISH A [duplicate] PUBLISH A [made] PUBREL A PUBREL A PUBLISH B PUBREL B",
        "connected, subscribed, message x, message y",
    ),
    "messages_reordered": (
        "SUBSCRIBE a PUBACK B PUBACK A",
        "SUBACK a PUBLISH A [reorder] PUBLISH B PUBLISH A [released]",
        "connected, subscribed, message y, message x",
    ),
    "message_of_qos_3": (
        "SUBSCRIBE a PUBACK B",
        "SUBACK a PUBLISH A [replace] PUBLISH B",
        "connected, subscribed, error Packet must not have both QoS bits set to 1, message end",
    ),
    "message_without_identifier": (
        "SUBSCRIBE a PUBACK 0 CONNECT PUBACK A PUBACK B",
        "SUBACK a PUBLISH 0 [made] DISCONNECT 0x82 CONNACK session_present PUBLISH A dup PUBLISH B",
        "connected, subscribed, message x, got DISCONNECT 0x82, disconnected, connected with session, "
        "message x, message end",
    ),
    "message_with_bad_text": (
        "SUBSCRIBE a PUBACK A PUBACK B",
        "SUBACK a PUBLISH [made] PUBLISH B",
        "connected, subscribed, message x, message end",
    ),
    "message_with_wildcard": (
        "SUBSCRIBE a PUBACK A PUBACK B",
        "SUBACK a PUBLISH A [made] PUBLISH B",
        "connected, subscribed, message x, message end",
    ),
    "message_with_unknown_alias": (
        "SUBSCRIBE a closes CONNECT PUBACK A PUBACK B",
        "SUBACK a PUBLISH A [made] CONNACK session_present PUBLISH A dup PUBLISH B",
        "connected, subscribed, error Received a PUBLISH Topic Alias but no Topic Alias Maximum was "
        "advertised, disconnected, connected with session, message x, message end",
    ),
    "message_truncated": (
        "SUBSCRIBE a CONNECT PUBACK B PUBACK A",
        "SUBACK a PUBLISH [made] PUBLISH A DISCONNECT 0x98 CONNACK session_present PUBLISH B dup PUBLISH A dup",
        "connected, subscribed, error Unknown property, disconnected, connected with session, message x, "
        "message end",
    ),
    "message_injected": (
        "",
        "PUBLISH [released]",
        "connected, message x",
    ),
    "auth_injected": (
        "closes CONNECT PUBLISH a",
        "AUTH 0x18 [released] CONNACK session_present PUBACK a",
        "connected, error Protocol error: Auth packet received but enhanced authentication was not "
        "requested, disconnected, connected with session, published",
    ),
    "outage": (
        "CONNECT PUBLISH a",
        "CONNACK session_present PUBACK a",
        "connected, disconnected, published",
    ),
}

if __name__ == "__main__":
    fault_cases.main(MqttJs, EXPECTED)
