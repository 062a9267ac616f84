"""Runs scenarios against brokers, in turn, and writes down what comes of it."""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time

import brokers
from brokers import Broker, Certificates, Failed
from scenarios import FILES

# What a run may take beyond the time that it publishes: connections, draining, patience.
RUN_DEADLINE = 180


class Results:
    """A file of one JSON object per line, to which runs are appended."""

    def __init__(self, path):
        self.path = path

    def read(self):
        if not self.path.exists():
            return []
        lines = self.path.read_text().splitlines()
        return [json.loads(line) for line in lines if line.strip()]

    def add(self, record):
        with self.path.open("a") as file:
            file.write(json.dumps(record) + "\n")


def machine():
    with open("/proc/cpuinfo") as file:
        models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    with open("/proc/meminfo") as file:
        kilobytes = int(file.readline().split()[1])
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(kilobytes / 2**20),
        "system": f"{system}, Linux {platform.release()}",
    }


def campaign(results, wanted, names, rounds, seconds, resume):
    """Measures every scenario with every broker, `rounds` times, each broker in its turn."""
    try:
        brokers.raise_file_limit(FILES)
    except Failed as problem:
        print(f"warning: {problem}", file=sys.stderr)
    done = set()
    run = time.strftime("%Y-%m-%dT%H:%M:%S")
    earlier = [record for record in results.read() if "machine" in record]
    if resume and earlier:
        run = earlier[-1]["run"]
        cells = (record for record in results.read() if record["run"] == run and "scenario" in record)
        done = {(cell["scenario"], cell["broker"], cell["round"]) for cell in cells if "result" in cell}
    facts = {"run": run, "machine": machine(), "versions": brokers.versions(names), "seconds": seconds}
    results.add(facts)
    with tempfile.TemporaryDirectory(prefix="roundel-certs-") as folder:
        certificates = Certificates(folder)
        for scenario in wanted:
            for turn in range(1 if scenario.once else rounds):
                for name in names:
                    if name in scenario.without or (scenario.key, name, turn) in done:
                        continue
                    record = {"run": run, "scenario": scenario.key, "broker": name, "round": turn}
                    try:
                        record["result"] = measure(scenario, name, certificates, seconds)
                    except Failed as problem:
                        record["error"] = str(problem)
                    results.add(record)
                    print(describe(scenario, record), flush=True)


def measure(scenario, name, certificates, seconds):
    """One run against a fresh broker; mqload's answer."""
    broker = Broker(name, certificates, scenario.mqtt)
    if scenario.key == "startup":
        words = [*command(scenario, seconds), "--port", broker.plain, "--exec", " ".join(str(word) for word in broker.command())]
        try:
            return load(words, seconds)
        finally:
            broker.folder.cleanup()
    with broker:
        return load_broker(scenario, broker, certificates, seconds)


def load_broker(scenario, broker, certificates, seconds):
    """One run against a broker that is up; mqload's answer."""
    words = [*command(scenario, seconds), "--broker-pid", broker.process.pid]
    words += ["--port", broker.tls, *certificates.client_words] if scenario.tls else ["--port", broker.plain]
    return load(words, seconds)


def command(scenario, seconds):
    return [brokers.MQLOAD, *scenario.words, *(["--secs", seconds] if scenario.timed else [])]


def load(words, seconds):
    process = brokers.spawn(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, errors = process.communicate(timeout=seconds + RUN_DEADLINE)
    except subprocess.TimeoutExpired:
        raise Failed("no end in sight") from None
    finally:
        brokers.end(process)
    if process.returncode != 0 or not out.strip():
        raise Failed((errors.strip().splitlines() or [f"status {process.returncode}"])[-1])
    return json.loads(out.strip().splitlines()[-1])


def is_faulty(result):
    """Whether messages were lost, came twice or out of order, or connections went."""
    counts = ("lost", "dup", "reordered", "gaps", "gone", "errors", "failed")
    return any(result.get(count, 0) for count in counts) or result.get("ok") is False


def describe(scenario, record):
    where = f"{scenario.key} {record['broker']} #{record['round'] + 1}"
    if "error" in record:
        return f"{where}: failed: {record['error']}"
    result = record["result"]
    if scenario.verdict:
        return f"{where}: {result['verdict']}"
    figures = (f"{figure.title} {show(result.get(figure.key))} {figure.unit}" for figure in scenario.figures)
    return f"{where}: {', '.join(figures)}{' †' if is_faulty(result) else ''}"


def show(value):
    """Three digits, and k and M for large numbers."""
    if value is None:
        return "–"
    for unit, size in (("M", 1e6), ("k", 1e4)):
        if value >= size:
            scaled = value / (1e6 if unit == "M" else 1e3)
            return f"{scaled:.3g}{unit}" if scaled < 1000 else f"{scaled:.0f}{unit}"
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"
