"""A program with the shadow client of the AWS IoT Device SDK for Python, over mutual TLS.

What the SDK's shadow sample does, and the operations that it leaves out: get, update, both streams,
delete, classic and named, with its MQTT 5 client and with its MQTT 3.1.1 one. Only the port and the
CA are passed on besides what the sample needs (AWS-FLOW-30, -31, -34 to -36).
"""

import queue
from concurrent.futures import Future
from contextlib import contextmanager

from awscrt import mqtt_request_response
from awsiot import ServiceStreamOptions, V2ServiceException, iotshadow
from awsiot import mqtt5_client_builder, mqtt_connection_builder

import sdk
from cases import DEADLINE_S, check

ARGS = sdk.arguments(__doc__)
IDENTITY = {
    "endpoint": ARGS.endpoint,
    "port": ARGS.port,
    "cert_filepath": ARGS.cert,
    "pri_key_filepath": ARGS.key,
    "ca_filepath": ARGS.ca_file,
}


@contextmanager
def mqtt5_client(client_id):
    with sdk.Entrant(lambda **callbacks: mqtt5_client_builder.mtls_from_path(
            **IDENTITY, client_id=client_id, **callbacks)) as entrant:
        check("connected", entrant.is_connected, True)
        yield entrant.client


@contextmanager
def mqtt3_connection(client_id):
    connection = mqtt_connection_builder.mtls_from_path(
        **IDENTITY, client_id=client_id, clean_session=True, keep_alive_secs=30
    )
    connection.connect().result(DEADLINE_S)
    try:
        yield connection
    finally:
        connection.disconnect().result(DEADLINE_S)


class Shadow:
    """A shadow as the SDK's client sees it, classic or named, by the same calls."""

    def __init__(self, connection, thing, name):
        options = mqtt_request_response.ClientOptions(
            max_request_response_subscriptions=2,
            max_streaming_subscriptions=2,
            operation_timeout_in_seconds=DEADLINE_S,
        )
        self._client = iotshadow.IotShadowClientV2(connection, options)
        self._of = {"thing_name": thing}
        # How the SDK begins the names of its classes and functions.
        self._kind, self._name = "Shadow", "shadow"
        if name is not None:
            self._of["shadow_name"] = name
            self._kind, self._name = "NamedShadow", "named_shadow"

    def _ask(self, verb, **members):
        request = getattr(iotshadow, f"{verb}{self._kind}Request")(**self._of, **members)
        return getattr(self._client, f"{verb.lower()}_{self._name}")(request).result(DEADLINE_S)

    def get(self):
        return self._ask("Get")

    def update(self, **halves):
        return self._ask("Update", state=iotshadow.ShadowState(**halves))

    def delete(self):
        return self._ask("Delete")

    def refusal(self):
        """The code of the error that a get is answered with."""
        try:
            self.get()
        except V2ServiceException as error:
            return error.modeled_error.code
        return None

    def _stream(self, kind, verb):
        events, subscribed = queue.Queue(), Future()

        def note(event):
            if not subscribed.done():
                subscribed.set_result(event.type)

        options = ServiceStreamOptions(
            incoming_event_listener=events.put, subscription_status_listener=note
        )
        request = getattr(iotshadow, f"{self._kind}{kind}SubscriptionRequest")(**self._of)
        create = getattr(self._client, f"create_{self._name}_{verb}_stream")
        operation = create(request, options)
        operation.open()
        established = mqtt_request_response.SubscriptionStatusEventType.SUBSCRIPTION_ESTABLISHED
        check("stream", subscribed.result(DEADLINE_S), established)
        return operation, events

    def deltas(self):
        return self._stream("DeltaUpdated", "delta_updated")

    def documents(self):
        return self._stream("Updated", "updated")


def live_through(shadow):
    """From no shadow to none."""
    check("before", shadow.refusal(), 404)
    _deltas, delta_events = shadow.deltas()
    _documents, document_events = shadow.documents()

    accepted = shadow.update(reported={"color": "red"})
    check("version", accepted.version, 1)
    check("reported", accepted.state.reported, {"color": "red"})
    event = document_events.get(timeout=DEADLINE_S)
    check("previous", event.previous, None)
    check("current", event.current.state.reported, {"color": "red"})

    shadow.update(desired={"color": "blue"})
    event = document_events.get(timeout=DEADLINE_S)
    check("documents", (event.previous.version, event.current.version), (1, 2))
    delta = delta_events.get(timeout=DEADLINE_S)
    check("delta", (delta.version, delta.state), (2, {"color": "blue"}))

    shadow.update(reported={"color": "blue"})
    document_events.get(timeout=DEADLINE_S)
    found = shadow.get()
    check("state", (found.state.desired, found.state.reported), ({"color": "blue"},) * 2)
    check("delta", found.state.delta, None)
    check("version", found.version, 3)
    check("no delta", delta_events.empty(), True)

    check("deleted", shadow.delete().version, 3)
    check("after", shadow.refusal(), 404)


def classic_over_mqtt5():
    with mqtt5_client("test-classic5") as client:
        live_through(Shadow(client, "classic5", None))


def named_over_mqtt5():
    with mqtt5_client("test-named5") as client:
        live_through(Shadow(client, "named", "five"))


def classic_over_mqtt3():
    with mqtt3_connection("test-classic3") as connection:
        live_through(Shadow(connection, "classic3", None))


def named_over_mqtt3():
    with mqtt3_connection("test-named3") as connection:
        live_through(Shadow(connection, "named", "three"))


sdk.report_and_exit([classic_over_mqtt5, named_over_mqtt5, classic_over_mqtt3, named_over_mqtt3])
