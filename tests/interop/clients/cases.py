"""What every Python client of the interop matrix shares: arguments, the case loop, the report.

A client prints one JSON object per case and line: {"case": ..., "ok": true} or, with a reason,
{"case": ..., "ok": false, "error": ...}. The Rust driver decides which cases have to pass.
"""

import argparse
import json
import queue
import traceback

# How long one step of a case may take before the case counts as failed.
DEADLINE_S = 15


def arguments(description):
    """Parses the arguments that the driver passes to every client of the matrix."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--version", choices=["4", "5"], required=True, help="4 is MQTT 3.1.1")
    parser.add_argument("--transport", choices=["tcp", "tls", "ws", "wss"], required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ca")
    parser.add_argument("--cert")
    parser.add_argument("--key")
    parser.add_argument("--prefix", required=True, help="of topics and client identifiers")
    parser.add_argument("--cases", required=True, help="names, separated by commas")
    parser.add_argument("--crash", metavar="CASE", help="a client that cannot drop a connection "
                        "calls itself with this: connect as the will owner, then die")
    return parser.parse_args()


def run(names, connect):
    """Runs the named cases; `connect(name, **options)` makes a connected peer."""
    for name in names.split(","):
        peers = []

        def open_peer(client_id, **options):
            peer = connect(client_id, **options)
            peers.append(peer)
            return peer

        try:
            CASES[name](open_peer)
            report(name)
        except Exception:  # noqa: BLE001 - whatever a client raises is the result of the case
            report(name, traceback.format_exc(limit=-3))
        for peer in peers:
            peer.close()


def report(name, error=None):
    """Prints the result of one case."""
    result = {"case": name, "ok": error is None}
    if error is not None:
        result["error"] = error
    print(json.dumps(result), flush=True)


def report_all(cases, *arguments):
    """Runs functions as cases by their names, each to its end or its first failure."""
    for case in cases:
        try:
            case(*arguments)
            report(case.__name__)
        except Exception:  # noqa: BLE001 - whatever a client raises is the result of the case
            report(case.__name__, traceback.format_exc(limit=-3))


def check(what, got, want):
    """Fails the case unless `got` equals `want`."""
    if got != want:
        raise AssertionError(f"{what}: got {got!r}, want {want!r}")


class Inbox:
    """Messages that one peer received, as (topic, payload, qos, retain).

    Cases name topics without the prefix that keeps runs apart; it is added and removed here.
    """

    def __init__(self, prefix):
        self._prefix = f"{prefix}/"
        self._messages = queue.Queue()

    def topic(self, name):
        """The topic, or the filter, with the prefix of this run."""
        if name.startswith("$share/"):
            share, group, rest = name.split("/", 2)
            return f"{share}/{group}/{self._prefix}{rest}"
        return self._prefix + name

    def put(self, topic, payload, qos, retain):
        """Called by the client library for each message."""
        name = topic.removeprefix(self._prefix)
        self._messages.put((name, bytes(payload).decode(), int(qos), bool(retain)))

    def next(self):
        """The next message, or an error when the deadline passes."""
        try:
            return self._messages.get(timeout=DEADLINE_S)
        except queue.Empty:
            raise AssertionError("no message within the deadline") from None


def _one_message(qos):
    def case(connect):
        receiver = connect(f"qos{qos}-sub")
        check("granted QoS", receiver.subscribe(f"qos{qos}/+", qos), qos)
        sender = connect(f"qos{qos}-pub")
        sender.publish(f"qos{qos}/a", "first", qos)
        sender.publish(f"qos{qos}/a", "second", qos)
        for payload in ("first", "second"):
            check("message", receiver.next(), (f"qos{qos}/a", payload, qos, False))

    return case


def _shared(connect):
    members = [connect(f"shared-{n}") for n in range(2)]
    for member in members:
        check("granted QoS", member.subscribe("$share/group/shared/+", 1), 1)
    sender = connect("shared-pub")
    for n in range(10):
        sender.publish("shared/a", str(n), 1)
    for turn, member in enumerate(members):
        for n in range(turn, 10, 2):
            check(f"message of member {turn}", member.next(), ("shared/a", str(n), 1, False))


def _will(connect):
    watcher = connect("will-watcher")
    watcher.subscribe("will/gone", 1)
    connect("will-owner", will=("will/gone", "gone", 1)).crash()
    check("will", watcher.next(), ("will/gone", "gone", 1, False))


def _retained(connect):
    sender = connect("retained-pub")
    sender.publish("retained/a", "kept", 1, retain=True)
    receiver = connect("retained-sub")
    receiver.subscribe("retained/a", 1)
    check("retained message", receiver.next(), ("retained/a", "kept", 1, True))
    sender.publish("retained/a", "live", 1, retain=True)
    check("live message", receiver.next(), ("retained/a", "live", 1, False))
    sender.publish("retained/a", "", 1, retain=True)
    late = connect("retained-late")
    late.subscribe("retained/a", 1)
    sender.publish("retained/a", "after", 1)
    check("message after removal", late.next(), ("retained/a", "after", 1, False))


def _resume(connect):
    first = connect("resume-sub", persistent=True)
    check("session present", first.session_present, False)
    first.subscribe("resume/a", 1)
    first.close()
    sender = connect("resume-pub")
    for n in range(3):
        sender.publish("resume/a", str(n), 1)
    again = connect("resume-sub", persistent=True)
    check("session present", again.session_present, True)
    for n in range(3):
        check("queued message", again.next(), ("resume/a", str(n), 1, False))


CASES = {
    "qos0": _one_message(0),
    "qos1": _one_message(1),
    "qos2": _one_message(2),
    "shared": _shared,
    "will": _will,
    "retained": _retained,
    "resume": _resume,
}
