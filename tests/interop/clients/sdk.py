"""What the programs with the AWS IoT Device SDK share: the arguments for mutual TLS, and a client that enters."""

import argparse
import os
from concurrent.futures import Future

from cases import DEADLINE_S, report_all


def arguments(description):
    """The SDK samples' arguments for mutual TLS, and the port."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ca_file", required=True)
    parser.add_argument("--cert", required=True)
    parser.add_argument("--key", required=True)
    return parser.parse_args()


def report_and_exit(cases):
    """Runs the cases and ends the process without taking the library down.

    Now and then the library corrupts its memory when its objects are collected, most of all at the
    end of the interpreter; what the cases found is told by then.
    """
    report_all(cases)
    os._exit(0)


class Entrant:
    """A client of MQTT 5, made with these callbacks, that has tried to connect once.

    It has to be stopped: the library corrupts its memory when a client is collected while
    packets arrive.
    """

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

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.client.stop()
        self._stopped.result(DEADLINE_S)
