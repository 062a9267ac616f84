"""A member of a shared group for the failover tests: Paho Python with acknowledgements by hand.

The newest `--hold` messages stay unacknowledged, so that there is always something to lose when
this process dies; `--hold all` never acknowledges. Standard output, one line per event:

    ready                         SUBACK arrived
    got NANOSECONDS DUP PAYLOAD   a message was read, at this Unix time
    acking PAYLOAD                its PUBACK is about to be written
    acked PAYLOAD                 its PUBACK has left for the broker
    closed                        the broker or `reset` ended the connection

Standard input, one command per line: `release` acknowledges what is held, and everything after it
at once; `reset` sends RST; its end disconnects.
"""

import argparse
import fcntl
import os
import select
import socket
import struct
import sys
import time

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


# Asks Linux how many bytes of a socket's send queue were not sent yet (`linux/sockios.h`).
SIOCOUTQNSD = 0x894B


class Member:
    """The client, its unacknowledged messages and the loop that serves both ends."""

    def __init__(self, args):
        self._hold = float("inf") if args.hold == "all" else int(args.hold)
        self._held = []
        self._filter = args.filter
        self._commands = b""
        self._running = True
        self._client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2,
            client_id=args.id,
            protocol=mqtt.MQTTv5,
            manual_ack=True,
        )
        self._client.on_connect = lambda *_: self._client.subscribe(self._filter, 1)
        self._client.on_subscribe = lambda *_: say("ready")
        self._client.on_message = self._on_message
        properties = Properties(PacketTypes.CONNECT)
        properties.ReceiveMaximum = args.receive_maximum
        self._client.connect(args.host, args.port, args.keep_alive, properties=properties)
        self._client.socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _on_message(self, _client, _data, message):
        payload = message.payload.decode()
        say(f"got {time.time_ns()} {int(message.dup)} {payload}")
        self._held.append((message.mid, payload))

    def run(self):
        """Serves the socket and standard input until one of them ends."""
        while self._running and self._client.socket() is not None:
            connection = self._client.socket()
            writes = [connection] if self._client.want_write() else []
            readable, writable, _ = select.select([connection, sys.stdin], writes, [], 0.25)
            if connection in readable:
                self._client.loop_read()
            if writable:
                self._client.loop_write()
            if sys.stdin in readable:
                self._command()
            self._acknowledge()
            self._client.loop_misc()
        say("closed")

    def _acknowledge(self):
        """Acknowledges all but the newest messages.

        Outside a callback Paho writes the packet before `ack` returns.
        """
        while len(self._held) > self._hold and self._client.socket() is not None:
            packet_id, payload = self._held.pop(0)
            say(f"acking {payload}")
            if self._client.ack(packet_id, 1) == mqtt.MQTT_ERR_SUCCESS:
                self._wait_until_sent()
                say(f"acked {payload}")

    def _wait_until_sent(self):
        """Waits until the kernel has sent what it was given.

        It discards the rest when this process dies with unread input, so that the broker could not
        know of a PUBACK among it.
        """
        while self._client.socket() is not None:
            unsent = fcntl.ioctl(self._client.socket(), SIOCOUTQNSD, struct.pack("i", 0))
            if struct.unpack("i", unsent)[0] == 0:
                return
            time.sleep(0.0002)

    def _command(self):
        read = os.read(sys.stdin.fileno(), 4096)
        if not read:
            self._client.disconnect()
            self._running = False
            return
        *lines, self._commands = (self._commands + read).split(b"\n")
        for line in lines:
            if line == b"release":
                self._hold = 0
            elif line == b"reset":
                self._reset()

    def _reset(self):
        """Closes with a linger time of 0, which makes the kernel send RST."""
        no_linger = struct.pack("ii", 1, 0)
        self._client.socket().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)
        self._client.socket().close()
        self._running = False


def say(line):
    """One line for the driver, at once."""
    print(line, flush=True)


def main():
    """Parses the arguments and runs one member."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--id", required=True)
    parser.add_argument("--filter", required=True)
    parser.add_argument("--receive-maximum", type=int, required=True)
    parser.add_argument("--keep-alive", type=int, default=60)
    parser.add_argument("--hold", required=True)
    Member(parser.parse_args()).run()


main()
