"""What the MQTT 5 client of the AWS Common Runtime does about faults that packet rules make: see fault_cases.py."""

from concurrent.futures import Future

from awscrt import mqtt5

import fault_cases


class AwsCrt(fault_cases.Peer):
    """A client of MQTT 5 that connects again after half a second."""

    def open(self, client_id, broker, keepalive=60, patience=20, clean=False):
        self._stopped = Future()
        self._client = mqtt5.Client(mqtt5.ClientOptions(
            host_name=broker.host,
            port=broker.mqtt_port,
            connect_options=mqtt5.ConnectPacket(
                client_id=client_id, keep_alive_interval_sec=keepalive, session_expiry_interval_sec=600),
            session_behavior=mqtt5.ClientSessionBehaviorType.REJOIN_POST_SUCCESS,
            min_reconnect_delay_ms=500,
            max_reconnect_delay_ms=500,
            # It has to be shorter than the keep-alive.
            ping_timeout_ms=(keepalive - 1) * 1000,
            connack_timeout_ms=patience * 1000,
            on_publish_callback_fn=lambda data: self.tell(
                f"message {data.publish_packet.payload.decode(errors='replace')}"),
            on_lifecycle_event_connection_success_fn=self._on_connected,
            on_lifecycle_event_connection_failure_fn=self._on_refused,
            on_lifecycle_event_disconnection_fn=self._on_disconnected,
            on_lifecycle_event_stopped_fn=self._stopped.set_result,
        ))
        self._client.start()

    def _tell(self, what, code, more=""):
        self.tell(" ".join(filter(None, [what, fault_cases.reason(code)])) + more)

    def _on_connected(self, data):
        self._tell("connected", data.connack_packet.reason_code, " with session" * data.connack_packet.session_present)

    def _on_refused(self, data):
        connack = data.connack_packet
        self._tell("refused", connack.reason_code if connack else 0, f" {_name(data.exception)}")

    def _on_disconnected(self, data):
        packet = data.disconnect_packet
        self._tell("disconnected", packet.reason_code if packet else 0, f" {_name(data.exception)}")

    def publish(self, topic, payload, qos, retain=False):
        packet = mqtt5.PublishPacket(topic=topic, payload=payload, qos=mqtt5.QoS(qos), retain=retain)
        self._client.publish(packet).add_done_callback(
            lambda done: self._tell_of("published", done, lambda result: result.puback and result.puback.reason_code))

    def subscribe(self, topic_filter, qos):
        packet = mqtt5.SubscribePacket([mqtt5.Subscription(topic_filter, mqtt5.QoS(qos))])
        self._client.subscribe(packet).add_done_callback(
            lambda done: self._tell_of("subscribed", done, lambda result: result.reason_codes[0]))

    def _tell_of(self, what, done, code):
        if error := done.exception():
            self.tell(f"not {what} {_name(error)}")
        else:
            self._tell(what, code(done.result()) or 0)

    def close(self):
        self._client.stop()
        self._stopped.result(fault_cases.PATIENCE_S)


def _name(error):
    return error.name.removeprefix("AWS_").removeprefix("ERROR_")


EXPECTED = {
    "puback_held": (
        "PUBLISH a",
        "PUBACK a [hold] PUBACK a [released]",
        "connected, published",
    ),
    "puback_dropped": (
        "PUBLISH a CONNECT PUBLISH a dup",
        "PUBACK a [drop] DISCONNECT 0x98 CONNACK session_present PUBACK a",
        "connected, disconnected 0x98 MQTT5_DISCONNECT_RECEIVED, connected with session, published",
    ),
    "publish_dropped": (
        "PUBLISH a [drop] CONNECT PUBLISH a dup",
        "DISCONNECT 0x98 CONNACK session_present PUBACK a",
        "connected, disconnected 0x98 MQTT5_DISCONNECT_RECEIVED, connected with session, published",
    ),
    "puback_discarded": (
        "PUBLISH a CONNECT PUBLISH a dup",
        "PUBACK a [hold] DISCONNECT 0x98 CONNACK PUBACK a",
        "connected, disconnected 0x98 MQTT5_DISCONNECT_RECEIVED, connected, published",
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
    "puback_of_nothing": (
        "PUBLISH b",
        "PUBACK a [released] PUBACK b",
        "connected, published",
    ),
    "puback_malformed": (
        "PUBLISH a DISCONNECT 0x82 CONNECT PUBLISH a dup",
        "PUBACK a [corrupt] CONNACK session_present PUBACK a",
        "connected, disconnected MQTT5_DECODE_PROTOCOL_ERROR, connected with session, published",
    ),
    "publish_answered": (
        "PUBLISH a PUBLISH b [answer]",
        "PUBACK a PUBACK b 0x87 [released]",
        "connected, published, published 0x87",
    ),
    "closed_before": (
        "PUBLISH a [close] CONNECT PUBLISH a dup",
        "CONNACK session_present PUBACK a",
        "connected, disconnected IO_SOCKET_CLOSED, connected with session, published",
    ),
    "closed_after": (
        "PUBLISH a [close] CONNECT",
        "PUBACK a CONNACK session_present",
        "connected, published, disconnected IO_SOCKET_CLOSED, connected with session",
    ),
    "reset_before": (
        "PUBLISH a [reset] CONNECT PUBLISH a dup",
        "CONNACK session_present PUBACK a",
        "connected, disconnected IO_SOCKET_CLOSED, connected with session, published",
    ),
    "half_closed": (
        "PUBLISH a [half_close] closes CONNECT PUBLISH a dup",
        "CONNACK session_present PUBACK a",
        "connected, disconnected IO_SOCKET_CLOSED, connected with session, published",
    ),
    "disconnected_before": (
        "PUBLISH a [disconnect] CONNECT PUBLISH a dup",
        "DISCONNECT 0x9c [made] CONNACK session_present PUBACK a",
        "connected, disconnected 0x9c MQTT5_DISCONNECT_RECEIVED, connected with session, published",
    ),
    "closed_before_connack": (
        "CONNECT",
        "CONNACK [close] CONNACK",
        "refused IO_SOCKET_CLOSED, connected",
    ),
    "disconnect_with_reason": (
        "CONNECT",
        "DISCONNECT 0x8b CONNACK session_present",
        "connected, disconnected 0x8b MQTT5_DISCONNECT_RECEIVED, connected with session",
    ),
    "disconnect_injected": (
        "closes CONNECT",
        "DISCONNECT 0x97 [released] CONNACK session_present",
        "connected, disconnected 0x97 MQTT5_DISCONNECT_RECEIVED, connected with session",
    ),
    "taken_over": (
        "closes CONNECT",
        "DISCONNECT 0x8e [released] CONNACK session_present",
        "connected, disconnected 0x8e MQTT5_DISCONNECT_RECEIVED, connected with session",
    ),
    "pings_muted": (
        "DISCONNECT 0x8d CONNECT",
        "PINGRESP [drop] CONNACK session_present",
        "connected, disconnected MQTT5_PING_RESPONSE_TIMEOUT, connected with session",
    ),
    "reading_stopped": (
        "PINGREQ [stop_reading] DISCONNECT 0x8d CONNECT",
        "CONNACK session_present",
        "connected, disconnected MQTT5_PING_RESPONSE_TIMEOUT, connected with session",
    ),
    "connack_refuses": (
        "closes CONNECT",
        "CONNACK 0x89 [made] CONNACK",
        "refused 0x89 MQTT5_CONNACK_CONNECTION_REFUSED, connected",
    ),
    "connect_answered": (
        "CONNECT [answer] CONNECT",
        "CONNACK 0x9c [released] CONNACK",
        "refused 0x9c MQTT5_CONNACK_CONNECTION_REFUSED, connected",
    ),
    "connack_malformed": (
        "closes CONNECT",
        "CONNACK [corrupt] CONNACK",
        "refused MQTT5_DECODE_PROTOCOL_ERROR, connected",
    ),
    "connack_dropped": (
        "closes CONNECT",
        "CONNACK [drop] CONNACK",
        "refused MQTT5_CONNACK_TIMEOUT, connected",
    ),
    "connack_twice": (
        "PUBLISH a",
        "CONNACK [released] PUBACK a",
        "connected, published",
    ),
    "session_that_is_none": (
        "closes CONNECT PUBLISH a",
        "CONNACK session_present [made] CONNACK PUBACK a",
        "refused MQTT_CANCELLED_FOR_CLEAN_SESSION, connected, published",
    ),
    "receive_maximum": (
        "PUBLISH a",
        "CONNACK [made] PUBACK a [hold]",
        "connected",
    ),
    "server_keep_alive": (
        "",
        "CONNACK [made]",
        "connected",
    ),
    "maximum_qos": (
        "",
        "CONNACK [made]",
        "connected, not published MQTT5_PUBLISH_OPTIONS_VALIDATION",
    ),
    "retain_unavailable": (
        "",
        "CONNACK [made]",
        "connected, not published MQTT5_PUBLISH_OPTIONS_VALIDATION",
    ),
    "maximum_packet_size": (
        "",
        "CONNACK [made]",
        "connected, not published MQTT5_PACKET_VALIDATION",
    ),
    "suback_refuses": (
        "SUBSCRIBE a",
        "SUBACK a 0x87 [made]",
        "connected, subscribed 0x87",
    ),
    "suback_dropped": (
        "SUBSCRIBE a CONNECT SUBSCRIBE b PUBLISH c",
        "SUBACK a [drop] DISCONNECT 0x98 CONNACK session_present SUBACK b PUBACK c",
        "connected, disconnected 0x98 MQTT5_DISCONNECT_RECEIVED, connected with session, subscribed, published",
    ),
    "message_dropped": (
        "SUBSCRIBE a CONNECT PUBACK A",
        "SUBACK a PUBLISH A [drop] DISCONNECT 0x98 CONNACK session_present PUBLISH A dup",
        "connected, subscribed, disconnected 0x98 MQTT5_DISCONNECT_RECEIVED, connected with session, message x",
    ),
    "puback_to_broker_dropped": (
        "SUBSCRIBE a PUBACK A [drop] CONNECT PUBACK A",
        "SUBACK a PUBLISH A DISCONNECT 0x98 CONNACK session_present PUBLISH A dup",
        "connected, subscribed, message x, disconnected 0x98 MQTT5_DISCONNECT_RECEIVED, connected with "
        "session, message x",
    ),
    "message_duplicated": (
        "SUBSCRIBE a PUBACK A",
        "SUBACK a PUBLISH A [duplicate] PUBLISH A [made]",
        "connected, subscribed, message x, message x",
    ),
    "messages_reordered": (
        "SUBSCRIBE a PUBACK B PUBACK A",
        "SUBACK a PUBLISH A [reorder] PUBLISH B PUBLISH A [released]",
        "connected, subscribed, message y, message x",
    ),
    "message_of_qos_3": (
        "SUBSCRIBE a PUBACK A PUBACK B",
        "SUBACK a PUBLISH A [replace] PUBLISH B",
        "connected, subscribed, message x, message end",
    ),
    "message_without_identifier": (
        "SUBSCRIBE a PUBACK 0 CONNECT PUBACK A PUBACK B",
        "SUBACK a PUBLISH 0 [made] DISCONNECT 0x82 CONNACK session_present PUBLISH A dup PUBLISH B",
        "connected, subscribed, message x, disconnected 0x82 MQTT5_DISCONNECT_RECEIVED, connected with "
        "session, message x, message end",
    ),
    "message_with_bad_text": (
        "SUBSCRIBE a PUBACK A PUBACK B",
        "SUBACK a PUBLISH [made] PUBLISH B",
        "connected, subscribed, message end",
    ),
    "message_with_wildcard": (
        "SUBSCRIBE a PUBACK A PUBACK B",
        "SUBACK a PUBLISH A [made] PUBLISH B",
        "connected, subscribed, message x, message end",
    ),
    "message_with_unknown_alias": (
        "SUBSCRIBE a DISCONNECT 0x82 CONNECT PUBACK A PUBACK B",
        "SUBACK a PUBLISH A [made] CONNACK session_present PUBLISH A dup PUBLISH B",
        "connected, subscribed, disconnected MQTT5_DECODE_PROTOCOL_ERROR, connected with session, message "
        "x, message end",
    ),
    "message_truncated": (
        "SUBSCRIBE a DISCONNECT 0x82 CONNECT PUBACK B PUBACK A",
        "SUBACK a PUBLISH [made] PUBLISH A CONNACK session_present PUBLISH B dup PUBLISH A dup",
        "connected, subscribed, disconnected MQTT5_DECODE_PROTOCOL_ERROR, connected with session, message "
        "x, message end",
    ),
    "message_injected": (
        "",
        "PUBLISH [released]",
        "connected, message x",
    ),
    "auth_injected": (
        "DISCONNECT 0x82 CONNECT PUBLISH a",
        "AUTH 0x18 [released] CONNACK session_present PUBACK a",
        "connected, disconnected MQTT5_DECODE_PROTOCOL_ERROR, connected with session, published",
    ),
    "outage": (
        "CONNECT PUBLISH a",
        "CONNACK session_present PUBACK a",
        "connected, disconnected IO_SOCKET_CLOSED, connected with session, published",
    ),
}

if __name__ == "__main__":
    fault_cases.main(AwsCrt, EXPECTED)
