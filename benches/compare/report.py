"""From results to docs/performance.md and its charts."""

import json
import pathlib
import statistics

import chart
from measure import is_faulty, show
from scenarios import BY_KEY, CPU, GROWTH, MAIN, P50, P99, RATE

HERE = pathlib.Path(__file__).resolve().parent
REFERENCE = HERE / "reference.json"

PEERS = ["mosquitto", "rumqttd"]
COLUMNS = ["limit", "roundel", *PEERS]
TITLES = {"limit": "floor", "roundel": "**Roundel**"}

INTRODUCTION = """\
# Performance

Written by `benches/compare/run`, from measurements on one machine; [benches/README.md](../benches/README.md) says how to
repeat them. What counts are ratios within one run, to the *floor* and to the other brokers: absolute figures are those
of this machine.

- The load is `mqload`: one thread that costs less than any broker, and that checks every delivery. † marks a run in which
  messages were lost, came twice or out of order, or connections broke.
- The floor is `mqload relay`: one thread that copies frames from socket to socket, answers each step of an exchange by its
  identifier, and knows nothing else of MQTT. Nothing that speaks MQTT can cost less by much.
- The brokers take turns, and each run has a fresh one. Cells are the median, and the lowest and highest in brackets.
- CPU per delivery is the CPU time of the broker's process over all deliveries: the steadiest figure on a machine that does
  other things as well.
- "Ahead" is how many times better Roundel is than the best of the other brokers in the same run.
- Payloads are 64 bytes and clients speak MQTT 5 where nothing else is said.
"""


class Cells:
    """The newest results: for each scenario those of the last run that had it."""

    def __init__(self, records):
        self.runs = {}
        latest = {}
        for record in records:
            if "machine" in record:
                self.runs[record["run"]] = record
            elif "result" in record:
                latest[record["scenario"]] = max(record["run"], latest.get(record["scenario"], ""))
        self.used = set(latest.values())
        self.results = {}
        self.errors = {}
        for record in records:
            key = (record.get("scenario"), record.get("broker"))
            if record.get("scenario") not in latest or record["run"] != latest[record["scenario"]]:
                continue
            if "result" in record:
                # A cell that was measured again, after `--resume`, counts once.
                self.results.setdefault(key, {})[record["round"]] = record["result"]
            else:
                self.errors[key] = record["error"]

    def values(self, scenario, broker, figure):
        results = self.results.get((scenario, broker), {}).values()
        return [result[figure.key] for result in results if result.get(figure.key) is not None]

    def median(self, scenario, broker, figure):
        values = self.values(scenario, broker, figure)
        return statistics.median(values) if values else None

    def is_faulty(self, scenario, broker):
        return any(is_faulty(result) for result in self.results.get((scenario, broker), {}).values())

    def show(self, scenario, broker, figure):
        values = self.values(scenario, broker, figure)
        if not values:
            return "failed" if (scenario, broker) in self.errors else "–"
        text = show(statistics.median(values))
        if len(values) > 1:
            text += f" ({show(min(values))}–{show(max(values))})"
        return text + (" †" if self.is_faulty(scenario, broker) else "")

    def has(self, scenario):
        return any(key == scenario for key, _ in self.results)

    def of_floor(self, scenario, figure):
        ours, floor = self.median(scenario, "roundel", figure), self.median(scenario, "limit", figure)
        return f"{ours / floor:.2f}×" if ours and floor else "–"

    def ahead(self, scenario, figure):
        ours = self.median(scenario, "roundel", figure)
        peers = [self.median(scenario, peer, figure) for peer in PEERS if not self.is_faulty(scenario, peer)]
        peers = [value for value in peers if value]
        if not ours or not peers:
            return "–"
        ratio = ours / max(peers) if figure.more_is_better else min(peers) / ours
        return f"{ratio:.2f}×"


def render(records, docs):
    """Writes the document and its charts."""
    cells = Cells(records)
    steady = [scenario for scenario in MAIN if scenario.figures == (CPU, RATE)]
    latency = [scenario for scenario in MAIN if P50 in scenario.figures]
    others = [scenario for scenario in MAIN if scenario not in steady and scenario not in latency and not scenario.verdict]
    costs = [(s.key, s.title, CPU) for s in steady]
    delays = [(s.key, f"{s.title}, {f.title}", f) for f in (P50, P99) for s in latency]
    states = [(s.key, f"{s.title}: {f.title}, {f.unit}", f) for s in others for f in s.figures]
    parts = [INTRODUCTION, *machines(cells)]
    parts += section("CPU per delivery, µs", cells, costs)
    parts += picture(docs, "performance-cpu.svg", "CPU per delivery, µs: less is better", cells, steady, CPU)
    parts += section("Deliveries per second", cells, [(s.key, s.title, RATE) for s in steady])
    parts += section("Latency, µs", cells, delays)
    parts += picture(docs, "performance-latency.svg", "Latency p50, µs: less is better", cells, latency, P50)
    parts += section("Connections, memory and state", cells, states)
    idle = [scenario for scenario in MAIN if scenario.key in ("idle", "tls-idle")]
    parts += picture(docs, "performance-memory.svg", "Bytes per idle connection: less is better", cells, idle, idle[0].figures[0])
    parts += turns(cells)
    parts += drops(cells)
    parts += growth(cells, docs)
    costs = [(key, f"{title}: CPU, µs", figure) for key, title, figure in costs]
    delays = [(key, f"{title}, µs", figure) for key, title, figure in delays]
    parts += earlier(cells, costs + delays + states)
    (docs / "performance.md").write_text("\n".join(parts).rstrip() + "\n")


def machines(cells):
    lines = ["## Machine and versions", ""]
    for run in sorted(cells.used & cells.runs.keys()):
        facts, machine = cells.runs[run], cells.runs[run]["machine"]
        versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
        lines.append(
            f"- {run}: {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}; "
            f"{facts['seconds']:g} s of load a run; {versions}."
        )
    return [*lines, ""]


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows), ""]


def section(title, cells, rows):
    rows = [row for row in rows if cells.has(row[0])]
    if not rows:
        return []
    head = ["", *(TITLES.get(name, name) for name in COLUMNS), "of the floor", "ahead"]
    body = [
        [label, *(cells.show(key, name, figure) for name in COLUMNS), cells.of_floor(key, figure), cells.ahead(key, figure)]
        for key, label, figure in rows
    ]
    return [f"## {title}", "", *table(head, body)]


def picture(docs, name, title, cells, scenarios, figure):
    rows = []
    for scenario in scenarios:
        values = {broker: cells.median(scenario.key, broker, figure) for broker in COLUMNS}
        rows.append((scenario.title, {broker: value for broker, value in values.items() if value}))
    drawn = chart.bars(docs / name, title, rows, COLUMNS, show)
    return [f"![{title}]({name})", ""] if drawn else []


def turns(cells):
    """Whether members of shared groups get their turns."""
    rows = []
    for key in ("share0", "share1", "share1m"):
        for broker in COLUMNS:
            results = cells.results.get((key, broker), {}).values()
            if not results:
                continue
            exact = [result["rr_exact"] for result in results if "rr_exact" in result]
            spread = [result["group_spread"] for result in results if "group_spread" in result]
            rows.append([
                BY_KEY[key].title,
                TITLES.get(broker, broker),
                f"{min(exact):.4f}" if exact else "–",
                str(max(spread)) if spread else "–",
            ])
    if not rows:
        return []
    head = ["", "", "messages in exact turn, worst run", "most minus fewest messages of a member, worst run"]
    return ["## Turns of shared groups", "", *table(head, rows)]


def drops(cells):
    """What becomes of the messages that a member of a group did not acknowledge."""
    scenarios = [scenario for scenario in MAIN if scenario.verdict and cells.has(scenario.key)]
    if not scenarios:
        return []
    names = [name for name in COLUMNS if name != "limit"]
    rows = []
    for scenario in scenarios:
        row = [scenario.title]
        for name in names:
            results = list(cells.results.get((scenario.key, name), {}).values())
            if not results:
                row.append("failed" if (scenario.key, name) in cells.errors else "–")
                continue
            last = results[-1].get("redeliver_last_ms")
            row.append(results[-1]["verdict"] + (f", last after {show(last)} ms" if last is not None else ""))
        rows.append(row)
    introduction = (
        "One of four members of a group goes with 100 QoS 1 messages that it did not acknowledge. *Redelivered*: the others "
        "have got each of them once before anything else is published."
    )
    return ["## A member of a group drops", "", introduction, "", *table(["", *(TITLES.get(n, n) for n in names)], rows)]


def growth(cells, docs):
    parts = []
    for series, (title, grows, scenarios, expected) in GROWTH.items():
        measured = [scenario for scenario in scenarios if cells.has(scenario.key)]
        if not measured:
            continue
        names = [name for name in COLUMNS if any((s.key, name) in cells.results for s in measured)]
        rows = [[f"{s.x:,}", *(cells.show(s.key, name, CPU) for name in names)] for s in measured]
        parts += [f"### {title}", "", expected, "", *table([f"{grows}", *(f"{TITLES.get(n, n)}, µs" for n in names)], rows)]
        curves = {}
        for name in names:
            points = [(s.x, cells.median(s.key, name, CPU)) for s in measured]
            curves[name] = [(x, y) for x, y in points if y]
        if chart.lines(docs / f"growth-{series}.svg", title, grows, "µs per delivery", curves, show):
            parts += [f"![{title}](growth-{series}.svg)", ""]
    return ["## Growth", "", *parts] if parts else []


def earlier(cells, rows):
    """Brokers that no package installs, measured once: beside them the floor of that day."""
    reference = json.loads(REFERENCE.read_text())
    names = ["flashmq", "mosquitto-2.1", "rmqtt", "mochi", "nanomq"]
    body = []
    for key, label, figure in rows:
        then = reference["scenarios"].get(key, {})
        if not any(figure.key in figures for figures in then.values()):
            continue
        floor = then.get("limit", {}).get(figure.key)
        row = [label, show(floor)]
        for name in names:
            value = then.get(name, {}).get(figure.key)
            times = f" ({value / floor:.2f}×)" if value and floor else ""
            row.append(f"{show(value)}{times}{' †' if then.get(name, {}).get('faulty') else ''}")
        now, of_floor = cells.median(key, "roundel", figure), cells.of_floor(key, figure)
        row.append(show(now) + (f" ({of_floor})" if of_floor != "–" else ""))
        body.append(row)
    head = ["", "floor then", *names, "**Roundel** now"]
    versions = ", ".join(f"{name} {reference['versions'][name]}" for name in names)
    note = (
        f"{reference['note']} {versions}. In brackets: times the floor of the same run, which is what can be compared; "
        "figures without it are of another day and only show the order of size."
    )
    return ["## Brokers measured once", "", note, "", *table(head, body)]
