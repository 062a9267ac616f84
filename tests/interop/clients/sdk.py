"""What the programs with the AWS IoT Device SDK share: the arguments for mutual TLS, and a client that enters."""

import argparse
from concurrent.futures import Future

from cases import DEADLINE_S


def arguments(description):
    """The SDK samples' arguments for mutual TLS, and the port."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ca_file", required=True)
    parser.add_argument("--cert", required=True)
    parser.add_argument("--key", required=True)
    return parser.parse_args()


class Entrant:
    """A client of MQTT 5, made with these callbacks, that has tried to connect once."""

    def __init__(self, make):
        connected, self._stopped = Future(), Future()

        def settle(is_connected):
            # It tries again and again.
            if not connected.done():
                connected.set_result(is_connected)

        self.client = make(
            on_lifecycle_connection_success=lambda _: settle(True),
            on_lifecycle_connection_failure=lambda _: settle(False),
            on_lifecycle_stopped=self._stopped.set_result)
        self.client.start()
        self.is_connected = connected.result(DEADLINE_S)

    def stop(self):
        self.client.stop()
        self._stopped.result(DEADLINE_S)
