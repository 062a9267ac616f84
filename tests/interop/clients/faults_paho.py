"""What Paho does about faults that packet rules make: see fault_cases.py."""

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

import fault_cases


class Paho(fault_cases.Peer):
    """A client of MQTT 5 that connects again after half a second."""

    def open(self, client_id, broker, keepalive=60, patience=20, clean=False):
        self._client = client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id, protocol=mqtt.MQTTv5)
        client.reconnect_delay_set(min_delay=0.5, max_delay=0.5)
        client.on_connect = self._on_connect
        client.on_disconnect = lambda c, u, flags, reason, properties: self.tell(
            f"disconnected {reason.value:#04x}{' by server' if flags.is_disconnect_packet_from_server else ''}")
        client.on_publish = lambda c, u, mid, reason, properties: self._tell("published", reason.value)
        client.on_subscribe = lambda c, u, mid, reasons, properties: self._tell("subscribed", reasons[0].value)
        client.on_message = lambda c, u, message: self.tell(f"message {message.payload.decode(errors='replace')}")
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 600
        client.connect_async(broker.host, broker.mqtt_port, keepalive, properties=properties,
                             clean_start=mqtt.MQTT_CLEAN_START_FIRST_ONLY)
        client.loop_start()

    def _on_connect(self, client, userdata, flags, reason, properties):
        self._tell("refused" if reason.is_failure else "connected", reason.value, " with session" * flags.session_present)

    def _tell(self, what, code, more=""):
        self.tell(" ".join(filter(None, [what, fault_cases.reason(code)])) + more)

    def publish(self, topic, payload, qos, retain=False):
        info = self._client.publish(topic, payload, qos, retain)
        if info.rc not in (mqtt.MQTT_ERR_SUCCESS, mqtt.MQTT_ERR_NO_CONN):
            self.tell(f"not published: {mqtt.error_string(info.rc)}")

    def subscribe(self, topic_filter, qos):
        self._client.subscribe(topic_filter, qos)

    def close(self):
        self._client.disconnect()
        self._client.loop_stop()


EXPECTED = {
    "puback_held": (
        "PUBLISH a",
        "PUBACK a [hold] PUBACK a [released]",
        "connected, published",
    ),
    "puback_dropped": (
        "PUBLISH a CONNECT PUBLISH a dup",
        "PUBACK a [drop] DISCONNECT 0x98 CONNACK session_present PUBACK a",
        "connected, disconnected 0x98 by server, connected with session, published",
    ),
    "publish_dropped": (
        "PUBLISH a [drop] CONNECT PUBLISH a dup",
        "DISCONNECT 0x98 CONNACK session_present PUBACK a",
        "connected, disconnected 0x98 by server, connected with session, published",
    ),
    "pubrec_dropped": (
        "PUBLISH a CONNECT PUBLISH a dup PUBREL a",
        "PUBREC a [drop] DISCONNECT 0x98 CONNACK session_present PUBREC a PUBCOMP a",
        "connected, disconnected 0x98 by server, connected with session, published",
    ),
    "pubrel_dropped": (
        "PUBLISH a PUBREL a [drop] CONNECT PUBREL a",
        "PUBREC a DISCONNECT 0x98 CONNACK session_present PUBCOMP a",
        "connected, disconnected 0x98 by server, connected with session, published",
    ),
    "pubcomp_dropped": (
        "PUBLISH a PUBREL a CONNECT PUBREL a",
        "PUBREC a PUBCOMP a [drop] DISCONNECT 0x98 CONNACK session_present PUBCOMP a 0x92",
        "connected, disconnected 0x98 by server, connected with session, published 0x92",
    ),
    "puback_discarded": (
        "PUBLISH a CONNECT PUBLISH a dup",
        "PUBACK a [hold] DISCONNECT 0x98 CONNACK PUBACK a",
        "connected, disconnected 0x98 by server, connected, published",
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
        "connected, published 0x97",
    ),
    "pubrec_refuses": (
        "PUBLISH a PUBREL a PUBLISH b",
        "PUBREC a 0x97 [made] PUBCOMP a PUBACK b",
        "connected, published, published",
    ),
    "puback_of_nothing": (
        "PUBLISH b",
        "PUBACK a [released] PUBACK b",
        "connected, published",
    ),
    "puback_malformed": (
        "PUBLISH a",
        "PUBACK a [corrupt]",
        "connected, published",
    ),
    "publish_answered": (
        "PUBLISH a PUBLISH b [answer]",
        "PUBACK a PUBACK b 0x87 [released]",
        "connected, published, published 0x87",
    ),
    "closed_before": (
        "PUBLISH a [close] CONNECT PUBLISH a dup",
        "CONNACK session_present PUBACK a",
        "connected, disconnected 0x80, connected with session, published",
    ),
    "closed_after": (
        "PUBLISH a [close] CONNECT",
        "PUBACK a CONNACK session_present",
        "connected, published, disconnected 0x80, connected with session",
    ),
    "reset_before": (
        "PUBLISH a [reset] CONNECT PUBLISH a dup",
        "CONNACK session_present PUBACK a",
        "connected, disconnected 0x80, connected with session, published",
    ),
    "half_closed": (
        "PUBLISH a [half_close] closes CONNECT PUBLISH a dup",
        "CONNACK session_present PUBACK a",
        "connected, disconnected 0x80, connected with session, published",
    ),
    "disconnected_before": (
        "PUBLISH a [disconnect] CONNECT PUBLISH a dup",
        "DISCONNECT 0x9c [made] CONNACK session_present PUBACK a",
        "connected, disconnected 0x9c by server, connected with session, published",
    ),
    "closed_before_connack": (
        "CONNECT",
        "CONNACK [close] CONNACK",
        "disconnected 0x80, connected",
    ),
    "disconnect_with_reason": (
        "CONNECT",
        "DISCONNECT 0x8b CONNACK session_present",
        "connected, disconnected 0x8b by server, connected with session",
    ),
    "disconnect_injected": (
        "closes CONNECT",
        "DISCONNECT 0x97 [released] CONNACK session_present",
        "connected, disconnected 0x97 by server, connected with session",
    ),
    "taken_over": (
        "closes CONNECT",
        "DISCONNECT 0x8e [released] CONNACK session_present",
        "connected, disconnected 0x8e by server, connected with session",
    ),
    "pings_muted": (
        "closes CONNECT",
        "PINGRESP [drop] CONNACK session_present",
        "connected, disconnected 0x8d, disconnected 0x8d, connected with session",
    ),
    "reading_stopped": (
        "PINGREQ [stop_reading] closes CONNECT",
        "CONNACK session_present",
        "connected, disconnected 0x8d, disconnected 0x8d, connected with session",
    ),
    "connack_refuses": (
        "closes CONNECT",
        "CONNACK 0x89 [made] CONNACK session_present",
        "refused 0x89, disconnected 0x82, connected with session",
    ),
    "connect_answered": (
        "CONNECT [answer] CONNECT",
        "CONNACK 0x9c [released] CONNACK",
        "refused 0x9c, disconnected 0x82, connected",
    ),
    "connack_malformed": (
        "closes CONNECT",
        "CONNACK [corrupt] CONNACK",
        "disconnected 0x82, connected",
    ),
    "connack_dropped": (
        "closes CONNECT",
        "CONNACK [drop] CONNACK",
        "disconnected 0x8d, connected",
    ),
    "connack_twice": (
        "PUBLISH a",
        "CONNACK [released] PUBACK a",
        "connected, connected, published",
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
        "connected, subscribed 0x87",
    ),
    "suback_dropped": (
        "SUBSCRIBE a CONNECT PUBLISH b",
        "SUBACK a [drop] DISCONNECT 0x98 CONNACK session_present PUBACK b",
        "connected, disconnected 0x98 by server, connected with session, published",
    ),
    "message_dropped": (
        "SUBSCRIBE a CONNECT PUBACK A",
        "SUBACK a PUBLISH A [drop] DISCONNECT 0x98 CONNACK session_present PUBLISH A dup",
        "connected, subscribed, disconnected 0x98 by server, connected with session, message x",
    ),
    "puback_to_broker_dropped": (
        "SUBSCRIBE a PUBACK A [drop] CONNECT PUBACK A",
        "SUBACK a PUBLISH A DISCONNECT 0x98 CONNACK session_present PUBLISH A dup",
        "connected, subscribed, message x, disconnected 0x98 by server, connected with session, message x",
    ),
    "pubrec_to_broker_dropped": (
        "SUBSCRIBE a PUBREC A [drop] CONNECT PUBREC A PUBCOMP A PUBREC B PUBCOMP B",
        "SUBACK a PUBLISH A DISCONNECT 0x98 CONNACK session_present PUBLISH A dup PUBREL A PUBLISH B PUBREL B",
        "connected, subscribed, disconnected 0x98 by server, connected with session, message x, message y",
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
        "SUBSCRIBE a closes CONNECT PUBACK A PUBACK B",
        "SUBACK a PUBLISH A [replace] CONNACK session_present PUBLISH A dup PUBLISH B",
        "connected, subscribed, disconnected 0x82, connected with session, message x, message end",
    ),
    "message_without_identifier": (
        "SUBSCRIBE a PUBACK 0 CONNECT PUBACK A PUBACK B",
        "SUBACK a PUBLISH 0 [made] DISCONNECT 0x82 CONNACK session_present PUBLISH A dup PUBLISH B",
        "connected, subscribed, message x, disconnected 0x82 by server, connected with session, message x, "
        "message end",
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
        "SUBSCRIBE a PUBACK A PUBACK B",
        "SUBACK a PUBLISH A [made] PUBLISH B",
        "connected, subscribed, message x, message end",
    ),
    "message_truncated": (
        "SUBSCRIBE a closes CONNECT PUBACK B PUBACK A",
        "SUBACK a PUBLISH [made] PUBLISH A CONNACK session_present PUBLISH B dup PUBLISH A dup",
        "connected, subscribed, disconnected 0x82, connected with session, message x, message end",
    ),
    "message_injected": (
        "",
        "PUBLISH [released]",
        "connected, message x",
    ),
    "auth_injected": (
        "closes CONNECT PUBLISH a",
        "AUTH 0x18 [released] CONNACK session_present PUBACK a",
        "connected, disconnected 0x82, connected with session, published",
    ),
    "outage": (
        "CONNECT PUBLISH a",
        "CONNACK session_present PUBACK a",
        "connected, disconnected 0x80, connected with session, published",
    ),
}

if __name__ == "__main__":
    fault_cases.main(Paho, EXPECTED)
