"""What clients of TLS say of listeners with something wrong about them.

Python's `ssl` says why it does not trust a server, or which alert it got; the AWS Common Runtime (s2n) whether its
handshake succeeded. Prints one JSON object per case and line, as the clients of the matrix do.
"""

import argparse
import json
import socket
import ssl
import urllib.request
import uuid
from collections import Counter
from concurrent.futures import Future

from awscrt import io, mqtt5

import sdk
from cases import DEADLINE_S, check

PARSER = argparse.ArgumentParser(description=__doc__)
PARSER.add_argument("--ca", required=True)
PARSER.add_argument("--cert", required=True)
PARSER.add_argument("--key", required=True)
PARSER.add_argument("--http", required=True)
PARSER.add_argument("ports", nargs="+", metavar="KIND=PORT")
ARGS = PARSER.parse_args()
PORTS = {kind: int(port) for kind, port in (item.split("=") for item in ARGS.ports)}

# CONNECT of MQTT 3.1.1 with a clean session and the client identifier "a", and its CONNACK.
CONNECT = bytes.fromhex("100d00044d5154540402003c000161")
CONNACK = bytes.fromhex("20020000")
DISCONNECT = bytes.fromhex("e000")


def context(**settings):
    made = ssl.create_default_context(cafile=ARGS.ca)
    made.load_cert_chain(ARGS.cert, ARGS.key)
    for name, value in settings.items():
        setattr(made, name, value)
    return made


def dial(kind, client=None, host="localhost"):
    plain = socket.create_connection(("localhost", PORTS[kind]), timeout=DEADLINE_S)
    return (client or context()).wrap_socket(plain, server_hostname=host, suppress_ragged_eofs=False)


def served(tls):
    """Whether MQTT is spoken on a connection."""
    tls.sendall(CONNECT)
    return tls.recv(16) == CONNACK


def distrusted(kind):
    """Why the server's certificate is not good."""
    try:
        dial(kind)
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    raise AssertionError("it is trusted")


def check_lenient(kind):
    """A client that does not look is served."""
    client = context(check_hostname=False, verify_mode=ssl.CERT_NONE)
    with dial(kind, client) as tls:
        check("served", served(tls), True)


class Attempt:
    """The first connection that a client of the Common Runtime tries."""

    def __init__(self, kind):
        options = io.TlsContextOptions.create_client_with_mtls_from_path(ARGS.cert, ARGS.key)
        options.override_default_trust_store_from_path(None, ARGS.ca)
        self._tried, self._stopped = Future(), Future()

        def settle(error):
            # Before it tries again.
            self._client.stop()
            self._tried.set_result(error)

        self._client = mqtt5.Client(mqtt5.ClientOptions(
            host_name="localhost",
            port=PORTS[kind],
            tls_ctx=io.ClientTlsContext(options),
            connect_options=mqtt5.ConnectPacket(client_id=f"crt-{uuid.uuid4().hex}"),
            on_lifecycle_event_connection_success_fn=lambda _: settle(None),
            on_lifecycle_event_connection_failure_fn=lambda data: settle(data.exception.name),
            on_lifecycle_event_stopped_fn=self._stopped.set_result))
        self._client.start()

    def error(self):
        """Its name, or None."""
        error = self._tried.result(BLINDING_S + DEADLINE_S)
        self._stopped.result(DEADLINE_S)
        return error


# Its library (s2n) keeps a handshake that failed to itself for 10 to 30 seconds, so all of them run at once.
BLINDING_S = 30
ATTEMPTS = {kind: Attempt(kind) for kind in PORTS}


def crt(kind):
    return ATTEMPTS[kind].error()


NEGOTIATION = "AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE"


def expired():
    check("why", distrusted("expired"), "certificate has expired")
    check("the Common Runtime", crt("expired"), NEGOTIATION)
    check_lenient("expired")


def not_yet_valid():
    check("why", distrusted("not-yet-valid"), "certificate is not yet valid")
    check("the Common Runtime", crt("not-yet-valid"), NEGOTIATION)
    check_lenient("not-yet-valid")


def wrong_host():
    check("why", distrusted("wrong-host").startswith("Hostname mismatch"), True)
    check("the Common Runtime", crt("wrong-host"), NEGOTIATION)
    check_lenient("wrong-host")
    with dial("wrong-host", host="wrong-host.localhost") as tls:
        check("served under its own name", served(tls), True)


def unknown_ca():
    check("why", distrusted("unknown-ca"), "unable to get local issuer certificate")
    check("the Common Runtime", crt("unknown-ca"), NEGOTIATION)
    check_lenient("unknown-ca")


def self_signed():
    check("why", distrusted("self-signed"), "self-signed certificate")
    check("the Common Runtime", crt("self-signed"), NEGOTIATION)
    check_lenient("self-signed")


def large_chain():
    with dial("large-chain") as tls:
        check("size", len(tls.getpeercert(binary_form=True)) > 40 * 1024, True)
        check("served", served(tls), True)
    check("the Common Runtime", crt("large-chain"), None)


def versions(kind, good, bad):
    with dial(kind, context(minimum_version=good, maximum_version=good)) as tls:
        check("served", served(tls), True)
    try:
        dial(kind, context(minimum_version=bad, maximum_version=bad))
    except ssl.SSLError as error:
        check("alert", error.reason, "TLSV1_ALERT_PROTOCOL_VERSION")
    else:
        raise AssertionError("both versions are spoken")


def tls12_only():
    versions("tls1.2-only", ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
    check("the Common Runtime", crt("tls1.2-only"), None)


def tls13_only():
    versions("tls1.3-only", ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2)
    check("the Common Runtime", crt("tls1.3-only"), None)


def reject_client():
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        try:
            # In TLS 1.3 the handshake is over for the client before the server has seen its certificate.
            served(dial("reject-client", context(minimum_version=version, maximum_version=version)))
        except ssl.SSLError as error:
            check("alert", error.reason, "SSLV3_ALERT_CERTIFICATE_REVOKED")
        else:
            raise AssertionError("it was let in")
    check("the Common Runtime is let in", crt("reject-client") is None, False)


def end_of(kind):
    """How a connection ends that the client has the broker close."""
    with dial(kind) as tls:
        check("served", served(tls), True)
        tls.sendall(DISCONNECT)
        try:
            return tls.recv(16)
        except ssl.SSLEOFError as error:
            return error.reason


def no_close_notify():
    check("cut", end_of("no-close-notify"), "UNEXPECTED_EOF_WHILE_READING")
    check("told", end_of("large-chain"), b"")
    check("the Common Runtime", crt("no-close-notify"), None)


# What Python's `ssl` has told of each certificate that it does not trust. The Common Runtime tells nothing, and keeps
# the connection until the broker's patience is at an end.
TOLD = {
    "expired": "certificate_expired",
    "not-yet-valid": "bad_certificate",
    "wrong-host": "bad_certificate",
    "unknown-ca": "unknown_ca",
    "self-signed": "unknown_ca",
}


def journal():
    """What the broker says of all these handshakes."""
    with urllib.request.urlopen(f"{ARGS.http}/v1/journal?event=handshake_failed&limit=1000", timeout=DEADLINE_S) as answer:
        rows = json.load(answer)["rows"]
    wanted = Counter()
    for kind, alert in TOLD.items():
        wanted[kind, "alert_received", alert] = 1
        wanted[kind, "timeout", None] = 1
    wanted["tls1.2-only", "alert_sent", "protocol_version"] = 1
    wanted["tls1.3-only", "alert_sent", "protocol_version"] = 1
    wanted["reject-client", "alert_sent", "certificate_revoked"] = 3
    seen = Counter(
        (row["listener"].removeprefix("bad-tls:"), row["cause"], row["alert"] and row["alert"]["name"]) for row in rows)
    check("rows", seen, wanted)
    check("server names", {row["tls"]["sni"] for row in rows}, {"localhost"})


sdk.report_and_exit([
    expired,
    not_yet_valid,
    wrong_host,
    unknown_ca,
    self_signed,
    large_chain,
    tls12_only,
    tls13_only,
    reject_client,
    no_close_notify,
    journal,
])
