"""What a client does about faults that packet rules make: the cases, whatever library the client is of.

A case sets its rules, has a client do something, and waits until what comes of it is on the wire. Its outcome is three
lines: what the client sends and what it gets, by the broker's journal, and what the library tells the program.

    sends   CONNECT PUBLISH a closes CONNECT PUBLISH a dup
    gets    CONNACK PUBACK a [drop] CONNACK session_present PUBACK a
    tells   connected, disconnected 0x80, connected with session, published

a, b, ... stand for Packet Identifiers of the client in their order, A, B, ... for those of the broker; what a rule did
with a packet is in brackets; reasons are shown unless they are 0x00 or 0x10. CONNECT and CONNACK of the first connection
are left out where they are as always, and so are PINGREQ and PINGRESP.

A program has a class that makes a client of its library, and a table with the outcome of each case. All cases run at
one time, against one broker: a rule is for the client of its case.
"""

import argparse
import inspect
import os
import string
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor

from cases import report
from roundel import Broker, RoundelError

# How long a client is told to wait where a case needs it to lose patience, in seconds. A shorter time would find fault
# with a machine that is busy.
SHORT_S = 2

# The payload and the Packet Identifier of a message that no table shows.
PROBE, PROBE_ID = "probe", 60_000

# What these actions make of a packet has a row of its own.
CHANGES = ("replace", "corrupt", "truncate")

# Their identifiers are of who sends them.
OF_SENDER = ("PUBLISH", "PUBREL", "SUBSCRIBE", "UNSUBSCRIBE")

# How long one step of a case may take before the case counts as failed, in seconds.
PATIENCE_S = 20


class Peer:
    """A client and what its library told.

    `open(client_id, broker, keepalive, patience, clean)` of a subclass connects it, to a new session or, unless `clean`,
    with whatever it needs to find that again; `patience` is how long it waits for CONNACK. `publish` and `subscribe`
    return when the library was told.
    """

    # Whether it tries again when CONNACK refuses it, and whether it closes a connection on which it can read no more.
    comes_again = closes_what_it_cannot_read = True

    def __init__(self):
        self._told, self._shown = [], 0
        # Beginnings of what is not noted.
        self.ignores = ()
        self._changed = threading.Condition()

    def tell(self, text):
        """Called by the library's callbacks."""
        if text == f"message {PROBE}" or text.startswith(tuple(self.ignores)):
            return
        with self._changed:
            self._told.append(text)
            self._changed.notify_all()

    def until(self, beginning, count=1):
        """Waits until so many lines were told that begin like this."""
        with self._changed:
            def places():
                return [place for place, text in enumerate(self._told) if text.startswith(beginning)]

            if not self._changed.wait_for(lambda: len(places()) >= count, PATIENCE_S):
                raise AssertionError(f"not told {beginning!r} {count} times: {self._told}")
            self._shown = max(self._shown, places()[count - 1] + 1)

    def catch_up(self):
        """Waits until everything is noted that the library has told; in this process it is."""

    def all(self):
        """Shows all that was told up to now."""
        self.catch_up()
        with self._changed:
            self._shown = len(self._told)

    @property
    def told(self):
        """What was told up to where the case waited for it."""
        with self._changed:
            return self._told[: self._shown]

    def has_told(self, beginning):
        with self._changed:
            return any(text.startswith(beginning) for text in self._told)


class Case:
    """One case as it runs."""

    def __init__(self, name, broker, library):
        self.id = name.replace("_", "-")
        self.topic = f"{self.id}/t"
        self.broker = broker
        self._library, self._peers, self._last = library, [], 0

    def on(self, type=None, **matches):
        """Packets of this case's client."""
        return self.broker.on(type, client=self.id, **matches)

    def open(self, **options):
        """The client, which connects by itself."""
        peer = self._library()
        self._peers.append(peer)
        peer.open(self.id, self.broker, **options)
        return peer

    def connected(self, **options):
        """The client, connected."""
        peer = self.open(**options)
        peer.until("connected")
        return peer

    def row(self, type=None, count=1, **matches):
        """Waits for the row of the journal of this number among those that match; what is behind it is not shown."""
        found = self.broker.wait_for_journal(
            count, since=0, client=self.id, timeout=PATIENCE_S, **({"type": type} if type else {}), **matches)
        self._last = max(self._last, found[-1]["number"])
        return found[-1]

    def hit(self, rule, hits=1):
        """Waits until the rule has acted so often."""
        self.broker.wait_for_hits(rule["id"], hits, timeout=PATIENCE_S)

    def cut(self):
        """Ends the connection with DISCONNECT; the session stays."""
        self.broker.disconnect(self.id)

    def stays(self, peer, since):
        """Whether the client keeps its connection after what was done since then. It gets one more message: what it was
        told to do before, and could, it has done when it acknowledges that. If it does not stay, it comes again."""
        try:
            packet = {"type": "PUBLISH", "topic": PROBE, "payload": PROBE, "qos": 1, "packet_id": PROBE_ID}
            self.broker.inject(self.id, packet)
        except RoundelError as error:
            # It is gone.
            if error.status != 404:
                raise
        while True:
            row = self.broker.wait_for_journal(since=since, client=self.id, timeout=PATIENCE_S)[0]
            packet = row.get("packet", {})
            if (packet.get("type"), packet.get("packet_id")) == ("PUBACK", PROBE_ID):
                return True
            if row.get("event") == "disconnected":
                peer.until("connected", 2)
                return False
            since = row["number"]

    def row_behind(self, number, type, **matches):
        found = self.broker.wait_for_journal(1, since=number, client=self.id, type=type, timeout=PATIENCE_S, **matches)
        self._last = max(self._last, found[-1]["number"])

    def now(self):
        """Shows all that has been up to now."""
        self._last = self.broker.call("GET", "/journal", limit=0)["last"]
        return self._last

    def outcome(self):
        """What the client sends, gets, and tells."""
        letters, sends, gets = ({}, {}), [], []
        rows = [row for row in self.broker.journal(client=self.id) if row["number"] <= self._last]
        # The end of one may be seen after the beginning of the next.
        rows.sort(key=lambda row: (row["connection"], row["number"]))
        for row, following in zip(rows, [*rows[1:], {}]):
            if row.get("event") == "disconnected" and row["text"].startswith("by network: connection"):
                sends.append("closes")
            elif row.get("packet") and (row["packet"]["type"] or row.get("did") != "made"):
                # What a rule has made unreadable is told of by the row of what it was.
                (sends if row["direction"] == "in" else gets).append(_shown(row, following, letters))
        told = [text for peer in self._peers for text in peer.told]
        for words, usual in ((sends, "CONNECT"), (gets, "CONNACK")):
            if words[:1] == [usual]:
                del words[0]
        return tuple(" ".join(filter(None, words)) for words in (sends, gets, [", ".join(told)]))

    def end(self):
        for peer in self._peers:
            peer.close()


def _shown(row, following, letters):
    packet, did = row["packet"], row.get("did")
    if packet["type"] in ("PINGREQ", "PINGRESP") and not did:
        return ""
    is_own = (row["direction"] == "in") == (packet["type"] in OF_SENDER)
    if packet.get("packet_id") == PROBE_ID and not is_own:
        return ""
    if did in CHANGES and following.get("did") == "made" and following["packet"]["type"]:
        # The next row has it as it arrives.
        return ""
    words = [packet["type"] or "?"]
    if "packet_id" in packet:
        number, known = packet["packet_id"], letters[is_own]
        alphabet = string.ascii_lowercase if is_own else string.ascii_uppercase
        words.append(known.setdefault(number, alphabet[len(known)]) if number else "0")
    words += [name for name in ("dup", "retain", "session_present") if packet.get(name)]
    words += [reason(code) for code in [packet.get("reason", 0), *packet.get("reasons", [])] if reason(code)]
    if did:
        words.append(f"[{did}]")
    return " ".join(words)


def reason(code):
    """A Reason Code that is not one of the usual ones."""
    return "" if code in (0x00, 0x01, 0x02, 0x10) else f"{code:#04x}"


# A PUBLISH of the client, and what acknowledges it.


def _publish(case, peer, payload="x", qos=1, count=1):
    peer.publish(case.topic, payload, qos)
    peer.until("published", count)


def puback_held(case):
    peer = case.connected()
    rule = case.on("PUBACK").hold()
    peer.publish(case.topic, "x", 1)
    case.hit(rule)
    assert not peer.has_told("published"), peer.told
    case.broker.release(client=case.id)
    peer.until("published")
    case.now()


def _lost_once(type, qos):
    """A packet of an exchange is lost, and then the connection."""

    def case_of(case):
        peer = case.connected()
        rule = case.on(type).drop(times=1)
        peer.publish(case.topic, "x", qos)
        case.hit(rule)
        case.cut()
        peer.until("published")
        case.now()

    return case_of


puback_dropped = _lost_once("PUBACK", 1)
publish_dropped = _lost_once("PUBLISH", 1)
pubrec_dropped = _lost_once("PUBREC", 2)
pubrel_dropped = _lost_once("PUBREL", 2)
pubcomp_dropped = _lost_once("PUBCOMP", 2)


def puback_discarded(case):
    """It was held, and the session is gone meanwhile: there is nothing to go on with (MQTT-3.2.2-5)."""
    peer = case.connected()
    rule = case.on("PUBACK").hold(times=1)
    peer.publish(case.topic, "x", 1)
    case.hit(rule)
    case.broker.discard(client=case.id)
    case.broker.disconnect(case.id, session=True)
    peer.until("published")
    peer.until("connected", 2)
    case.now()


def puback_delayed(case):
    peer = case.connected()
    case.on("PUBACK").delay(1, times=1)
    _publish(case, peer)
    case.now()


def puback_duplicated(case):
    peer = case.connected()
    case.on("PUBACK").duplicate(times=1)
    _publish(case, peer)
    case.row("PUBACK", 2)
    _publish(case, peer, "y", count=2)
    case.now()


def pubacks_reordered(case):
    peer = case.connected()
    rule = case.on("PUBACK").reorder(times=1)
    peer.publish(case.topic, "x", 1)
    case.hit(rule)
    peer.publish(case.topic, "y", 1)
    peer.until("published", 2)
    case.now()


def puback_refuses(case):
    peer = case.connected()
    case.on("PUBACK").replace(reason=0x97, times=1)
    _publish(case, peer)
    case.now()


def pubrec_refuses(case):
    """Section 4.3.3: the exchange is over, and there is no PUBREL."""
    peer = case.connected()
    case.on("PUBREC").replace(reason=0x97, times=1)
    _publish(case, peer, qos=2)
    _publish(case, peer, "y", count=2)
    case.now()


def puback_of_nothing(case):
    peer = case.connected()
    since = case.now()
    case.broker.inject(case.id, {"type": "PUBACK", "packet_id": 99})
    case.stays(peer, since)
    _publish(case, peer)
    case.now()


def puback_malformed(case):
    """MQTT-2.1.3-1: flags of the fixed header that are reserved."""
    peer = case.connected()
    rule = case.on("PUBACK").corrupt(0, 0x01, times=1)
    peer.publish(case.topic, "x", 1)
    case.hit(rule)
    if not peer.closes_what_it_cannot_read:
        peer.until("error")
        case.cut()
    peer.until("published")
    case.now()


def publish_answered(case):
    peer = case.connected()
    _publish(case, peer)
    # Identifiers are given in order.
    following = case.row("PUBLISH")["packet"]["packet_id"] % 65535 + 1
    case.on("PUBLISH").answer({"type": "PUBACK", "packet_id": following, "reason": 0x87}, times=1)
    _publish(case, peer, "y", count=2)
    case.now()


# A connection that ends.


def _lost_with_publish(act):
    def case_of(case):
        peer = case.connected()
        act(case.on("PUBLISH"))
        peer.publish(case.topic, "x", 1)
        peer.until("connected", 2)
        peer.until("published")
        case.now()

    return case_of


closed_before = _lost_with_publish(lambda match: match.close("before", times=1))
closed_after = _lost_with_publish(lambda match: match.close("after", times=1))
reset_before = _lost_with_publish(lambda match: match.reset("before", times=1))
half_closed = _lost_with_publish(lambda match: match.half_close("before", times=1))


def disconnected_before(case):
    """A server that moves its clients does not know of the last PUBLISH."""
    peer = case.connected()
    match = case.on("PUBLISH")
    match.disconnect(0x9C, properties={"server_reference": "elsewhere"}, times=1)
    peer.publish(case.topic, "x", 1)
    peer.until("connected", 2)
    peer.until("published")
    case.now()


def closed_before_connack(case):
    case.on("CONNACK").close("before", times=1)
    peer = case.open()
    peer.until("connected")
    case.now()


def disconnect_with_reason(case):
    peer = case.connected()
    case.broker.disconnect(case.id, 0x8B)
    peer.until("connected", 2)
    case.now()


def _told_to_go(reason):
    """The broker goes on, as it knows nothing of it."""

    def case_of(case):
        peer = case.connected()
        since = case.now()
        case.broker.inject(case.id, {
            "type": "DISCONNECT", "reason": reason, "properties": {"reason_string": "go"}})
        case.stays(peer, since)
        peer.all()
        case.now()

    return case_of


disconnect_injected = _told_to_go(0x97)
taken_over = _told_to_go(0x8E)


def pings_muted(case):
    """The client gives the connection up (section 3.1.2.10)."""
    peer = case.connected(keepalive=SHORT_S)
    rule = case.on().mute_pings()
    peer.until("disconnected")
    case.broker.remove_rule(rule["id"])
    peer.until("connected", 2)
    case.now()


def reading_stopped(case):
    """Nothing that the client sends is read, its PINGREQ neither."""
    peer = case.connected(keepalive=SHORT_S)
    rule = case.on("PINGREQ").stop_reading(times=1)
    case.hit(rule)
    peer.until("disconnected")
    case.broker.remove_rule(rule["id"])
    peer.until("connected", 2)
    case.now()


# CONNACK.


def connack_refuses(case):
    case.on("CONNACK").replace(reason=0x89, times=1)
    peer = case.open()
    peer.until("connected" if peer.comes_again else "disconnected")
    case.row(event="disconnected")
    case.now()


def connect_answered(case):
    answer = {"type": "CONNACK", "reason": 0x9C, "properties": {"server_reference": "elsewhere"}}
    case.on("CONNECT").answer(answer, times=1)
    peer = case.open()
    peer.until("connected" if peer.comes_again else "disconnected")
    case.now()


def connack_malformed(case):
    case.on("CONNACK").corrupt(0, 0xFF, times=1)
    peer = case.open(patience=SHORT_S)
    peer.until("connected")
    case.now()


def connack_dropped(case):
    case.on("CONNACK").drop(times=1)
    peer = case.open(keepalive=SHORT_S, patience=SHORT_S)
    peer.until("connected")
    case.now()


def connack_twice(case):
    """MQTT-3.2.0-2 is the server's; for the client it is a Protocol Error."""
    peer = case.connected()
    since = case.now()
    case.broker.inject(case.id, {"type": "CONNACK"})
    case.stays(peer, since)
    _publish(case, peer)
    case.now()


def session_that_is_none(case):
    """MQTT-3.2.2-4: without a session of its own, the client closes the connection."""
    case.on("CONNACK").replace(session_present=True, times=1)
    peer = case.open(clean=True)
    peer.until("connected")
    _publish(case, peer)
    case.now()


def receive_maximum(case):
    """MQTT-3.3.4-7: no more PUBLISH packets without PUBACK than the server allows."""
    case.on("CONNACK").replace(properties={"receive_maximum": 1})
    rule = case.on("PUBACK").hold()
    peer = case.connected()
    peer.publish(case.topic, "x", 1)
    case.hit(rule)
    since = case.now()
    peer.publish(case.topic, "y", 1)
    case.stays(peer, since)
    case.now()


def server_keep_alive(case):
    """MQTT-3.2.2-21: that value is used, not the client's own of a minute."""
    case.on("CONNACK").replace(properties={"server_keep_alive": SHORT_S})
    case.connected()
    case.row("PINGREQ")


def _refused_by_connack(properties, qos, retain=False, payload="x"):
    def case_of(case):
        case.on("CONNACK").replace(properties=properties)
        peer = case.connected()
        since = case.now()
        peer.publish(case.topic, payload, qos, retain)
        case.stays(peer, since)
        peer.all()
        case.now()

    return case_of


# MQTT-3.2.2-11, MQTT-3.2.2-14, MQTT-3.2.2-15
maximum_qos = _refused_by_connack({"maximum_qos": 0}, 1)
retain_unavailable = _refused_by_connack({"retain_available": False}, 0, True)
maximum_packet_size = _refused_by_connack({"maximum_packet_size": 50}, 0, payload="x" * 100)


# What comes to a subscriber.


def _subscriber(case, qos=1):
    peer = case.connected()
    peer.subscribe(f"{case.id}/+", qos)
    peer.until("subscribed")
    return peer


def _send(case, payload, qos=1):
    case.broker.publish(case.topic, payload, qos=qos)


def _acknowledged(case, type="PUBACK"):
    """Waits until the client has acknowledged what it got last."""
    last = case.broker.journal(client=case.id, type="PUBLISH", direction="out", last=1)[0]
    case.row_behind(last["number"], type, packet_id=last["packet"]["packet_id"], direction="in")


def suback_refuses(case):
    case.on("SUBACK").replace(reason=0x87, times=1)
    peer = case.connected()
    peer.subscribe(case.topic, 1)
    peer.until("subscribed")
    case.now()


def suback_dropped(case):
    """Whether it asks again, or tells."""
    rule = case.on("SUBACK").drop(times=1)
    peer = case.connected()
    peer.subscribe("elsewhere", 1)
    case.hit(rule)
    case.cut()
    peer.until("connected", 2)
    _publish(case, peer)
    case.now()


def message_dropped(case):
    peer = _subscriber(case)
    rule = case.on("PUBLISH", direction="out").drop(times=1)
    _send(case, "x")
    case.hit(rule)
    case.cut()
    peer.until("message")
    _acknowledged(case)


def puback_to_broker_dropped(case):
    """It comes again with DUP."""
    peer = _subscriber(case)
    rule = case.on("PUBACK", direction="in").drop(times=1)
    _send(case, "x")
    case.hit(rule)
    case.cut()
    peer.until("message", 2)
    _acknowledged(case)


def pubrec_to_broker_dropped(case):
    """MQTT-4.3.3-10: it comes again and is the same message."""
    peer = _subscriber(case, 2)
    rule = case.on("PUBREC", direction="in").drop(times=1)
    _send(case, "x", 2)
    case.hit(rule)
    case.cut()
    case.row("PUBCOMP")
    _send(case, "y", 2)
    peer.until("message y")
    _acknowledged(case, "PUBCOMP")


def message_duplicated(case):
    """MQTT-4.3.2-4: each is acknowledged."""
    peer = _subscriber(case)
    case.on("PUBLISH", direction="out").duplicate(times=1)
    since = case.now()
    _send(case, "x")
    peer.until("message", 2)
    case.stays(peer, since)
    case.now()


def message_duplicated_qos_2(case):
    """MQTT-4.3.3-10: one message."""
    peer = _subscriber(case, 2)
    case.on("PUBLISH", direction="out").duplicate(times=1)
    _send(case, "x", 2)
    case.row("PUBREL", 2)
    case.row("PUBCOMP", 2)
    _send(case, "y", 2)
    peer.until("message y")
    _acknowledged(case, "PUBCOMP")


def messages_reordered(case):
    peer = _subscriber(case)
    case.on("PUBLISH", direction="out").reorder(times=1)
    _send(case, "x")
    _send(case, "y")
    peer.until("message", 2)
    case.row("PUBACK", 2)


def _spoiled(spoil, is_readable=True):
    """A PUBLISH at which the client has to close the connection, and one that is good."""

    def case_of(case):
        peer = _subscriber(case)
        rule = spoil(case.on("PUBLISH", direction="out"), case)
        since = case.now()
        _send(case, "x")
        case.hit(rule)
        if is_readable or peer.closes_what_it_cannot_read:
            case.stays(peer, since)
        else:
            peer.until("error")
        _send(case, "end")
        peer.until("message end")
        _acknowledged(case)

    return case_of


# MQTT-3.3.1-4, MQTT-2.2.1-4, MQTT-1.5.4-1, MQTT-3.3.2-2
message_of_qos_3 = _spoiled(lambda match, case: match.replace(qos=3, times=1), is_readable=False)
message_without_identifier = _spoiled(lambda match, case: match.replace(packet_id=0, times=1))
message_with_bad_text = _spoiled(lambda match, case: match.corrupt(5, 0x80, times=1))
message_with_wildcard = _spoiled(lambda match, case: match.replace(topic=f"{case.id}/#", times=1))

# No Topic Alias Maximum allows it one, and the name that it stands for was never said.
message_with_unknown_alias = _spoiled(
    lambda match, case: match.replace(topic="", properties={"topic_alias": 7}, times=1))


def message_truncated(case):
    """The beginning of the next packet is its end, and what is left of that is no packet."""
    peer = _subscriber(case)
    rule = case.on("PUBLISH", direction="out").truncate(10, times=1)
    _send(case, "x")
    case.hit(rule)
    _send(case, "end")
    if not peer.closes_what_it_cannot_read:
        peer.until("error")
        case.cut()
    peer.until("message end")
    _acknowledged(case)


def message_injected(case):
    peer = case.connected()
    case.broker.inject(case.id, {"type": "PUBLISH", "topic": "from/nowhere", "payload": "x", "qos": 0})
    peer.until("message")
    case.now()


def auth_injected(case):
    """MQTT-4.12.0-6: a Protocol Error, as CONNECT named no method."""
    peer = case.connected()
    since = case.now()
    case.broker.inject(case.id, {
        "type": "AUTH", "reason": 0x18, "properties": {"authentication_method": "none"}})
    case.stays(peer, since)
    _publish(case, peer)
    case.now()


def outage(case):
    """For all: it runs alone."""
    peer = case.connected()
    case.broker.outage(60)
    peer.until("disconnected")
    # How often it tries in vain is a matter of time.
    peer.ignores = ("disconnected", "refused", "error")
    peer.publish(case.topic, "x", 1)
    case.broker.outage(0)
    peer.until("published")
    case.now()


CASES = {
    name: function for name, function in list(globals().items())
    if inspect.isfunction(function) and not name.startswith("_")
    and list(inspect.signature(function).parameters) == ["case"]
}

ALONE = ["outage"]


def main(library, expected):
    """Runs the cases of the table and says of each whether its outcome is what the table has."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--show", action="store_true", help="print outcomes as they are in a table, and of all cases")
    parser.add_argument("--only", default="", help="names of cases, separated by commas")
    args = parser.parse_args()
    chosen = args.only.split(",") if args.only else list(CASES if args.show else expected)

    def run(broker, name):
        case = Case(name, broker, library)
        try:
            CASES[name](case)
            got, error = case.outcome(), None
            if got != expected.get(name) and not args.show:
                error = "\n".join(["got:", *got, "want:", *expected[name]])
        except Exception:  # noqa: BLE001 - whatever a client raises is the result of the case
            case.now()
            got = None
            error = "\n".join([traceback.format_exc(limit=-3), *case.outcome()])
        return name, case, got, error

    with Broker(listeners=["mqtt"]) as broker, ThreadPoolExecutor(len(CASES)) as pool:
        together = [name for name in chosen if name not in ALONE]
        results = list(pool.map(lambda name: run(broker, name), together))
        results += [run(broker, name) for name in chosen if name not in together]
        for name, _, got, error in results:
            if not args.show:
                report(name, error)
            elif got is None:
                print(f"    # {name}: {error}", flush=True)
            else:
                print(f"    {name!r}: (", *(f"        {line!r}," for line in got), "    ),", sep="\n", flush=True)
        # A client that is collected while packets arrive takes the AWS Common Runtime down.
        list(pool.map(lambda result: result[1].end(), results))
    # What a library leaves behind at the end of the interpreter is not looked at.
    os._exit(0)
