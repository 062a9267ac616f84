"""The brokers: where they come from, how they are configured, and their life as a process."""

import atexit
import ctypes
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PEERS = HERE / ".peers"
ROUNDEL = ROOT / "target" / "release" / "roundel"
MQLOAD = ROOT / "benches" / "mqload" / "target" / "release" / "mqload"
RUMQTTD = PEERS / "bin" / "rumqttd"

RUMQTTD_VERSION = "0.20.0"

# From start to the first connection that is accepted.
START_DEADLINE = 20.0
NAMES = ["limit", "roundel", "mosquitto", "rumqttd"]

_running = set()


class Failed(Exception):
    """A broker or a run that did not do what it should."""


def _end_all(*_):
    for process in list(_running):
        end(process)


atexit.register(_end_all)


def spawn(command, **options):
    """A process that ends with this one, however that ends."""

    def die_with_parent():
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)

    process = subprocess.Popen(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=die_with_parent,
        **options,
    )
    _running.add(process)
    return process


def end(process):
    """Ends a process with its children: politely, then not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(timeout=3)
            break
        except subprocess.TimeoutExpired:
            continue
    process.wait()
    _running.discard(process)


def raise_file_limit(wanted):
    """Lets this process and its children open as many files as the system allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise Failed(f"`ulimit -n` is {hard} at most, and 10,000 connections need {wanted}: raise the hard limit")


def install(names):
    """Builds and installs what is missing. A peer that cannot be had is an error that says why."""
    build = ["cargo", "build", "--release", "--quiet"]
    subprocess.run([*build, "--bin", "roundel"], check=True, cwd=ROOT)
    subprocess.run([*build, "--manifest-path", MQLOAD.parents[2] / "Cargo.toml"], check=True)
    if "mosquitto" in names and mosquitto() is None:
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            raise Failed("missing: mosquitto\nOn Debian or Ubuntu: sudo apt-get install mosquitto")
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        # Only this tool starts it.
        subprocess.run(["apt-get", "update", "--quiet=2"], check=True)
        apt = ["apt-get", "install", "--quiet=2", "--yes", "--no-install-recommends", "mosquitto"]
        subprocess.run(apt, check=True, env=environment)
    if "rumqttd" in names and not RUMQTTD.exists():
        # Not --locked: the versions that its lock file names no longer compile.
        cargo = ["cargo", "install", "rumqttd", "--version", RUMQTTD_VERSION, "--root", PEERS]
        subprocess.run(cargo, check=True)


def mosquitto():
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


def versions(names):
    """What exactly is compared."""
    found = {}
    for name in names:
        match name:
            case "limit":
                found[name] = "mqload's relay"
            case "roundel":
                commit = _output(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"])
                dirty = _output(["git", "-C", ROOT, "status", "--porcelain", "--untracked-files=no"])
                found[name] = f"{_output([ROUNDEL, '--version']).split()[-1]} ({commit}{' with changes' if dirty else ''})"
            case "mosquitto":
                found[name] = re.search(r"version (\S+)", _output([mosquitto(), "-h"]))[1]
            case "rumqttd":
                found[name] = _output([RUMQTTD, "--version"]).split()[-1]
    return found


def _output(command):
    ran = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    return ran.stdout.strip()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Certificates:
    """One authority for all brokers of a campaign."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        subprocess.run([ROUNDEL, "cert", "load", "--certs", self.folder], check=True, stdout=subprocess.DEVNULL)
        # The server's certificate is made by a broker that starts.
        with tempfile.TemporaryFile() as log:
            ports = ["--mqtts-port", "0", "--http-port", "off", "--ready", "json", "--log", "error"]
            process = spawn([ROUNDEL, "serve", "--certs", self.folder, *ports], stdout=subprocess.PIPE, stderr=log)
            process.stdout.readline()
            end(process)
            process.stdout.close()

    @property
    def ca(self):
        return self.folder / "ca.pem"

    @property
    def client_words(self):
        certificate, key = self.folder / "load.certificate.pem", self.folder / "load.private.key"
        return ["--ca", self.ca, "--cert", certificate, "--key", key, "--tls", "1.3"]


class Broker:
    """A broker on ports of its own; a context that starts and ends it."""

    def __init__(self, name, certificates, mqtt):
        self.name = name
        self.certificates = certificates
        self.mqtt = mqtt
        self.plain = free_port()
        self.tls = free_port()
        self.folder = tempfile.TemporaryDirectory(prefix="roundel-compare-")
        self.process = None

    def command(self):
        return getattr(self, f"_{self.name}")()

    def __enter__(self):
        log = open(pathlib.Path(self.folder.name) / "log", "wb")
        with log:
            self.process = spawn(self.command(), stdout=log, stderr=log)
        deadline = time.monotonic() + START_DEADLINE
        try:
            for port in [self.plain] if self.name == "limit" else [self.plain, self.tls]:
                self._await(port, deadline)
        except Failed:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        end(self.process)
        self.folder.cleanup()

    def _await(self, port, deadline):
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                pass
            if self.process.poll() is not None or time.monotonic() > deadline:
                log = (pathlib.Path(self.folder.name) / "log").read_text(errors="replace")
                raise Failed(f"{self.name} does not listen on its port: {log[-500:]}")
            time.sleep(0.02)

    def _write(self, name, text):
        path = pathlib.Path(self.folder.name) / name
        path.write_text(text)
        return path

    def _limit(self):
        return [MQLOAD, "relay", "--port", self.plain]

    def _roundel(self):
        ports = ["--mqtt-port", self.plain, "--mqtts-port", self.tls, "--http-port", "off"]
        return [ROUNDEL, "serve", "--profile", "standard", *ports, "--certs", self.certificates.folder, "--log", "error"]

    def _mosquitto(self):
        folder = self.certificates.folder
        # As another user it would outlive this process if that is killed.
        config = f"""
            user root
            per_listener_settings false
            allow_anonymous true
            persistence false
            set_tcp_nodelay true
            log_type none
            log_dest none
            max_queued_messages 0
            max_queued_bytes 0
            max_inflight_messages 0
            listener {self.plain} 127.0.0.1
            listener {self.tls} 127.0.0.1
            cafile {folder}/ca.pem
            certfile {folder}/server.pem
            keyfile {folder}/server.key
            require_certificate true
        """
        lines = "\n".join(line.strip() for line in config.strip().splitlines())
        return [mosquitto(), "-c", self._write("mosquitto.conf", lines + "\n")]

    def _rumqttd(self):
        folder = self.certificates.folder
        # Each of its listeners takes one version.
        version = "v5" if self.mqtt == 5 else "v4"
        connections = """
            connection_timeout_ms = 60000
            max_payload_size = 1048576
            max_inflight_count = 65000
            dynamic_filters = true
        """
        config = f"""
            id = 0
            [router]
            id = 0
            max_connections = 11000
            max_outgoing_packet_count = 200
            max_segment_size = 104857600
            max_segment_count = 10
            [{version}.1]
            name = "plain"
            listen = "127.0.0.1:{self.plain}"
            next_connection_delay_ms = 0
            [{version}.1.connections]{connections}
            [{version}.2]
            name = "tls"
            listen = "127.0.0.1:{self.tls}"
            next_connection_delay_ms = 0
            [{version}.2.tls]
            capath = "{folder}/ca.pem"
            certpath = "{folder}/server.pem"
            keypath = "{folder}/server.key"
            [{version}.2.connections]{connections}
        """
        lines = "\n".join(line.strip() for line in config.strip().splitlines())
        return [RUMQTTD, "--quiet", "--config", self._write("rumqttd.toml", lines + "\n")]
