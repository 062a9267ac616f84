"""Runs Schemathesis against brokers of its own, one of each profile, and leaves nothing behind.

The document is the one that the broker serves. All operations but the two streams get valid and invalid requests; the
streams, which would not end, get the invalid ones, each of which has to be refused.
"""

import argparse
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
STREAMS = ["/v1/events", "/v1/subscribe"]
# Of the time: the invalid requests for streams, which are the same in both profiles.
FOR_STREAMS = 1 / 6


def main():
    arguments = read_arguments()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}: tests/openapi/fuzz --seed {seed} --seconds {arguments.seconds} does the same", flush=True)
    profiles = arguments.profile or ["standard", "aws"]
    share = arguments.seconds * (1 - FOR_STREAMS) / len(profiles)
    failed = []
    for profile in profiles:
        for_streams = arguments.seconds * FOR_STREAMS if profile == profiles[0] else 0
        with tempfile.TemporaryDirectory(prefix="roundel-fuzz-") as folder:
            if not fuzz(arguments.broker, profile, Path(folder), seed, share, for_streams):
                failed.append(profile)
    print(f"\nseed {seed}: " + (f"findings in {', '.join(failed)}" if failed else "nothing was found"))
    return 1 if failed else 0


def read_arguments():
    parser = argparse.ArgumentParser(prog="tests/openapi/fuzz", description=__doc__)
    parser.add_argument("--broker", required=True, help="the binary")
    parser.add_argument("--seconds", type=float, default=150, help="in all; 150")
    parser.add_argument("--seed", type=int, help="a random one")
    parser.add_argument("--profile", action="append", choices=["standard", "aws"], help="both")
    return parser.parse_args()


def fuzz(broker, profile, folder, seed, seconds, for_streams):
    """Whether nothing was found. A broker that ends is a finding, too."""
    command = [
        broker, "serve", "--profile", profile, "--certs", str(folder / "certs"), "--ready", "json", "--die-with-parent",
        "--mqtt-port", "0", "--mqtts-port", "0", "--http-port", "0", "--log", "error", "--set", "journal=true",
    ]
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        ready = process.stdout.readline()
        if not ready:
            print((folder / "log").read_text())
            return False
        listeners = json.loads(ready)["listeners"]
        base, mqtt = f"http://{listeners['http']}", listeners["mqtt"]
        print(f"\n== {profile}: {base}", flush=True)
        fill(base, mqtt, profile)
        document = json.loads(call(base, "GET", "/v1/openapi.json"))
        (folder / "openapi.json").write_text(json.dumps(without_long(document)))
        stream = Stream(base)
        environment = {**os.environ, "FUZZ_PROFILE": profile, "FUZZ_STREAM": stream.client_id}
        without = [part for path in STREAMS for part in ("--exclude-path", path)]
        only = [part for path in STREAMS for part in ("--include-path", path)]
        run = lambda seconds, more: schemathesis(folder, base, seed, seconds, more, environment)
        everything = run(seconds, without)
        invalid = [*only, "--mode", "negative", "--phases", "coverage,fuzzing"]
        streams = not for_streams or run(for_streams, invalid)
        is_there = process.poll() is None
        if not is_there:
            print(f"the broker has ended with {process.returncode}")
        errors = (folder / "log").read_text()
        if errors:
            print(f"the broker has logged errors:\n{errors[:4000]}")
        return everything and streams and is_there and not errors
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            print("the broker does not stop")
            process.kill()
            raise


def without_long(value):
    """The document without the bounds of 64 KiB: to make texts as long as that takes nearly all of the time."""
    if isinstance(value, dict):
        is_long = lambda name, member: name == "maxLength" and isinstance(member, int) and member > 10_000
        return {name: without_long(member) for name, member in value.items() if not is_long(name, member)}
    if isinstance(value, list):
        return [without_long(item) for item in value]
    return value


def schemathesis(folder, base, seed, seconds, more, environment):
    """Whether nothing was found, and each operation was called."""
    report = folder / "report.json"
    command = [
        str(Path(sys.executable).parent / "st"), "--config-file", str(HERE / "schemathesis.toml"), "run",
        str(folder / "openapi.json"), "--url", base, "--seed", str(seed), "--max-time", str(max(1, round(seconds))),
        "--report-json-path", str(report), *more,
    ]
    # It ends by itself; that it does not is a finding.
    result = subprocess.run(command, cwd=HERE, env=environment, timeout=seconds * 2 + 120).returncode
    operations = json.loads(report.read_text())["operations"]
    if operations["tested"] < operations["selected"]:
        print(f"only {operations['tested']} of {operations['selected']} operations were called: give it more time")
        return False
    return result == 0


def call(base, method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    headers = {} if body is None else {"Content-Type": "application/json"}
    request = urllib.request.Request(base + path, data=data, headers=headers, method=method)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.read()


def fill(base, mqtt, profile):
    """Something to look at."""
    Client(mqtt, "car1", "cars/+/speed").start()
    Client(mqtt, "worker-1", "$share/workers/orders/#").start()
    Client(mqtt, "worker-2", "$share/workers/orders/#").start()
    for client in ("car1", "worker-1", "worker-2"):
        call(base, "GET", f"/v1/clients/{client}?wait=10s")
    call(base, "POST", "/v1/rules", {"name": "fuzz", "match": {"type": "PUBACK", "nth": 3}, "do": "drop"})
    call(base, "POST", "/v1/publish", {"topic": "cars/7/speed", "payload": "77", "qos": 1, "retain": True})
    if profile == "aws":
        allow = {"Effect": "Allow", "Action": "iot:*", "Resource": "*"}
        document = {"Version": "2012-10-17", "Statement": [allow]}
        call(base, "POST", "/v1/certificates", {"name": "car1"})
        fleet = {"policies": {"cars": {"document": document}}, "things": {"car1": {"attributes": {"color": "red"}}}}
        call(base, "PUT", "/v1/registry", fleet)


class Stream(threading.Thread):
    """A client of /v1/subscribe, whose name further subscriptions are made with."""

    def __init__(self, base):
        super().__init__(daemon=True)
        self.answer = urllib.request.urlopen(base + "/v1/subscribe?filter=cars/%23")
        self.answer.readline()
        self.client_id = json.loads(self.answer.readline().removeprefix(b"data: "))["client_id"]
        self.start()

    def run(self):
        try:
            while self.answer.read1(65536):
                pass
        except OSError:
            pass


class Client(threading.Thread):
    """An MQTT 5 client that reads and says nothing, and comes back whenever its connection ends."""

    def __init__(self, address, client_id, topic_filter):
        super().__init__(daemon=True)
        host, port = address.rsplit(":", 1)
        self.address = (host, int(port))
        text = lambda part: len(part).to_bytes(2, "big") + part
        properties = b"\x05\x11" + (3600).to_bytes(4, "big")
        connect = text(b"MQTT") + b"\x05\x00\x00\x00" + properties + text(client_id.encode())
        subscribe = b"\x00\x01\x00" + text(topic_filter.encode()) + b"\x01"
        self.packets = b"\x10" + bytes([len(connect)]) + connect + b"\x82" + bytes([len(subscribe)]) + subscribe

    def run(self):
        while True:
            try:
                with socket.create_connection(self.address, timeout=20) as connection:
                    connection.sendall(self.packets)
                    connection.settimeout(None)
                    while connection.recv(65536):
                        pass
            except OSError:
                pass
            time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
