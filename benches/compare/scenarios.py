"""What is measured: the words that mqload gets, and the figures that are taken from its answer."""

from dataclasses import dataclass, field

# Connections that a run may need: both ends of 10,000 and what a process opens besides.
FILES = 10_500


@dataclass(frozen=True)
class Figure:
    """A number in mqload's answer."""

    key: str
    title: str
    unit: str
    more_is_better: bool = False


CPU = Figure("cpu_s_per_m", "CPU per delivery", "µs")
RATE = Figure("rate", "deliveries", "/s", more_is_better=True)
P50 = Figure("p50_us", "p50", "µs")
P99 = Figure("p99_us", "p99", "µs")


@dataclass(frozen=True)
class Scenario:
    key: str
    title: str
    load: str
    figures: tuple = (CPU, RATE)
    tls: bool = False
    mqtt: int = 5
    # How long mqload publishes; what has its own end takes no time.
    timed: bool = True
    # Brokers that do not take part, and why.
    without: dict = field(default_factory=dict)
    # A campaign leaves it out unless it is named.
    optional: bool = False
    # One round says all.
    once: bool = False
    # Answers that are no numbers.
    verdict: bool = False
    # Position on the x axis of a growth chart.
    x: float = 0

    @property
    def words(self):
        words = self.load.split()
        return [*words, "--mqtt", "4"] if self.mqtt == 4 else words


NO_RELAY = {"limit": "the relay keeps no state"}
NO_STORE = {
    **NO_RELAY,
    "rumqttd": "keeps no MQTT 5 session after Clean Start 1, and a log per filter",
}
NO_TLS_RELAY = {"limit": "the relay has no TLS"}
NO_V4 = {**NO_RELAY}


def steady(key, title, load, **more):
    return Scenario(key, title, load, **more)


def mutual_tls(key, title, load, **more):
    return Scenario(f"tls-{key}", f"{title}, mTLS 1.3", load, tls=True, without=NO_TLS_RELAY, **more)


FAN_IN = "fanin --pubs 10 --subs 1"
SHARE = "share --pubs 1 --groups 1 --members 4"
PAIRS_1K = "pairs --pairs 1000 --qos 1 --burst 1"
LATENCY = (P50, P99, CPU)

MAIN = [
    steady("fanin0", "10 publishers to 1, QoS 0", f"{FAN_IN} --qos 0"),
    steady("fanin1", "10 publishers to 1, QoS 1", f"{FAN_IN} --qos 1"),
    steady("fanin2", "10 publishers to 1, QoS 2", f"{FAN_IN} --qos 2"),
    steady("fanout100", "1 to 100, QoS 0", "fanout --subs 100"),
    steady("fanout1k", "1 to 1,000, QoS 0", "fanout --subs 1000"),
    steady("fanout1k1", "1 to 1,000, QoS 1", "fanout --subs 1000 --qos 1"),
    steady("pairs10", "10 pairs, QoS 0", "pairs --pairs 10"),
    steady("pairs1k", "1,000 pairs, QoS 1, one packet a write", PAIRS_1K),
    steady("share0", "Shared: 1 to 4 members, QoS 0", f"{SHARE} --qos 0"),
    steady("share1", "Shared: 1 to 4 members, QoS 1", f"{SHARE} --qos 1"),
    steady("share1m", "Shared: 20 publishers, 4 groups of 5, QoS 1", "share --pubs 20 --groups 4 --members 5 --qos 1"),
    steady("big16k", "10 pairs, QoS 0, 16 KiB", "pairs --pairs 10 --size 16384 --window 200"),
    mutual_tls("fanin0", "10 publishers to 1, QoS 0", f"{FAN_IN} --qos 0"),
    mutual_tls("share1", "Shared: 1 to 4 members, QoS 1", f"{SHARE} --qos 1"),
    mutual_tls("fanout100", "1 to 100, QoS 0", "fanout --subs 100"),
    mutual_tls("pairs1k", "1,000 pairs, QoS 1, one packet a write", PAIRS_1K),
    steady("lat5k", "Latency at 5,000/s, QoS 1", "latency --rate 5000 --qos 1", figures=LATENCY),
    steady("lat20k", "Latency at 20,000/s, QoS 1", "latency --rate 20000 --qos 1", figures=LATENCY),
    mutual_tls("lat5k", "Latency at 5,000/s, QoS 1", "latency --rate 5000 --qos 1", figures=LATENCY),
    mutual_tls("lat20k", "Latency at 20,000/s, QoS 1", "latency --rate 20000 --qos 1", figures=LATENCY),
]

CONNECTS = (
    Figure("rate", "connects", "/s", more_is_better=True),
    Figure("cpu_ms_per_connect", "CPU per connect", "ms"),
)
IDLE = (Figure("bytes_per_conn", "memory per connection", "B"),)
RETAINED = (
    Figure("store_cpu_s_per_m", "CPU to keep one", "µs"),
    Figure("cpu_s_per_m", "CPU to replay one", "µs"),
    Figure("bytes_per_retained", "memory for one", "B"),
)
OFFLINE = (
    Figure("queue_cpu_s_per_m", "CPU to queue one", "µs"),
    Figure("cpu_s_per_m", "CPU to drain one", "µs"),
    Figure("bytes_per_queued", "memory for one", "B"),
)
WILD = (
    Figure("subscribe_rate", "filters", "/s", more_is_better=True),
    Figure("cpu_s_per_m", "CPU per delivery", "µs"),
    Figure("bytes_per_filter", "memory for a filter", "B"),
)
STARTUP = (Figure("startup_ms", "exec to the first CONNACK", "ms"),)

MAIN += [
    Scenario("conn", "Connects", "connect --count 5000", CONNECTS, timed=False, without=NO_RELAY),
    Scenario("tls-conn", "Connects, mTLS 1.3", "connect --count 2000", CONNECTS, tls=True, timed=False, without=NO_TLS_RELAY),
    Scenario("idle", "10,000 idle connections", "idle --count 10000", IDLE, timed=False, without=NO_RELAY),
    Scenario("tls-idle", "10,000 idle connections, mTLS 1.3", "idle --count 10000", IDLE, tls=True, timed=False, without=NO_TLS_RELAY),
    Scenario("retained", "100,000 retained messages", "retained --count 100000", RETAINED, timed=False, without=NO_STORE),
    Scenario("offline", "50,000 messages for 100 offline sessions", "offline --count 50000 --subs 100", OFFLINE, timed=False, without=NO_STORE),
    Scenario("wild100k", "100,000 filters", "wild --filters 100000", WILD, without=NO_STORE),
    Scenario("wild1m", "1,000,000 filters", "wild --filters 1000000", WILD, without=NO_STORE, optional=True),
    Scenario("startup", "Start", "startup", STARTUP, timed=False),
]

for _mqtt in (5, 4):
    for _session in ("clean", "persistent"):
        for _kill in ("rst", "fin", "disconnect"):
            MAIN.append(
                Scenario(
                    f"drop-v{_mqtt}-{_session}-{_kill}",
                    f"MQTT {'5' if _mqtt == 5 else '3.1.1'}, {_session} session, {_kill}",
                    f"sharedrop --session {_session} --kill {_kill} --wait-ms 1000 --back-ms 1000",
                    (Figure("redeliver_last_ms", "last redelivered after", "ms"),),
                    mqtt=_mqtt,
                    timed=False,
                    once=True,
                    verdict=True,
                    without=NO_RELAY,
                )
            )


def growing(series, title, steps, load, figures=(CPU,), **more):
    """A scenario for each size; `load` has a place for it."""
    return [
        Scenario(f"grow-{series}-{n}", f"{n:,} {title}", load(n), figures, x=n, **more)
        for n in steps
    ]


def _window(subscribers):
    """Messages under way, so that no socket has to hold more than the broker would keep for it."""
    return max(4, min(2000, 200_000 // subscribers))


# By series: the title of its chart, what grows, the scenarios, and what to expect.
GROWTH = {
    "subscribers": (
        "Cost per delivery against the subscribers of one topic, QoS 0",
        "subscribers",
        growing(
            "subscribers",
            "subscribers",
            (1, 10, 100, 1_000, 10_000),
            lambda n: f"fanout --subs {n} --window {_window(n)}",
        ),
        "Each receiver costs a copy, and a write when its turn comes. From 1,000 subscribers on fewer messages are under "
        "way, 20 at 10,000, so that no socket has to hold more than a broker keeps for it: then a write carries no more.",
    ),
    "filters": (
        "Cost per delivery against the filters of all clients, QoS 0",
        "filters",
        growing(
            "filters",
            "filters",
            (10, 100, 1_000, 10_000, 100_000, 1_000_000),
            lambda n: f"wild --filters {n} --conns {min(100, n)}",
            without=NO_STORE,
        ),
        "A publisher of Roundel's remembers 128 topics: with 10 filters nothing is looked up, with 100 little. From 1,000 "
        "on nearly each message is. From there to 1,000,000 what grows are cache misses, not steps.",
    ),
    "members": (
        "Cost per delivery against the members of a shared group, QoS 1",
        "members",
        growing(
            "members",
            "members",
            (2, 4, 10, 100, 1_000),
            lambda n: f"share --pubs 1 --groups 1 --members {n} --qos 1",
        ),
        "100 messages are under way at most, and turns are exact: with 100 members or more each message goes to another "
        "socket than those before it, in a write of its own. That write is what it costs, for the floor as well.",
    ),
    "connections": (
        "Cost per delivery against the connections, in pairs, QoS 1, one packet a write",
        "connections",
        growing(
            "connections",
            "connections",
            (10, 100, 1_000, 10_000),
            lambda n: f"pairs --pairs {n // 2} --qos 1 --burst 1",
        ),
        "A packet per read and per write on either side: system calls, and with 10,000 sockets the cache misses of the "
        "kernel.",
    ),
    "churn": (
        "Cost per delivery beside SUBSCRIBE and UNSUBSCRIBE, 10 pairs, QoS 0",
        "packets per second",
        growing(
            "churn",
            "SUBSCRIBE and UNSUBSCRIBE packets per second",
            (0, 100, 1_000, 10_000),
            lambda n: f"pairs --pairs 10 --churn {n}",
            without=NO_RELAY,
        ),
        "SUBSCRIBE and UNSUBSCRIBE of others cost a publisher a comparison with the filters that changed; what it remembers "
        "stands.",
    ),
}

ALL = MAIN + [scenario for _, _, scenarios, _ in GROWTH.values() for scenario in scenarios]
BY_KEY = {scenario.key: scenario for scenario in ALL}
