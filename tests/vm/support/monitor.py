"""QEMU's monitor (QMP): commands, their answers, and events."""

import json
import socket
import time

SECONDS = 10  # for QEMU to answer a command


class MachineError(Exception):
    """The guest, QEMU or the device did not do what was asked for."""


class Ended(MachineError):
    """QEMU is not there any more."""


class Monitor:
    """A connection to QEMU's monitor (QMP). Events are kept until they are waited for. Every call may
    raise Ended."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.events = []
        self._in = bytearray()
        try:
            self.socket.connect(path)
            self._receive(SECONDS)
            self.command("qmp_capabilities")
        except BaseException:
            self.socket.close()
            raise

    def close(self):
        self.socket.close()

    def _send(self, message):
        try:
            self.socket.sendall(json.dumps(message).encode() + b"\n")
        except ConnectionError as error:
            raise Ended(f"QEMU ended: {error}") from None

    def _receive(self, seconds):
        """The next message. Raises TimeoutError."""
        self.socket.settimeout(seconds)
        while b"\n" not in self._in:
            try:
                data = self.socket.recv(1 << 16)
            except ConnectionError:
                data = b""
            if not data:
                raise Ended("QEMU ended")
            self._in += data
        line, _, self._in = self._in.partition(b"\n")
        return json.loads(line)

    def command(self, name, arguments=None):
        """Returns what the command returns. Raises MachineError when QEMU refuses it."""
        self._send({"execute": name, "arguments": arguments or {}})
        while True:
            answer = self._receive(SECONDS)
            if "event" in answer:
                self.events.append(answer)
            elif "error" in answer:
                raise MachineError(f"{name}: {answer['error']['desc']}")
            else:
                return answer["return"]

    def wait_event(self, name, seconds=10, **fields):
        """The data of the first such event, with these fields, that nobody has waited for yet."""
        end = time.monotonic() + seconds
        try:
            while True:
                for event in self.events:
                    data = event.get("data", {})
                    if event["event"] == name and fields.items() <= data.items():
                        self.events.remove(event)
                        return data
                self.events.append(self._receive(max(end - time.monotonic(), 0.001)))
        except TimeoutError:
            raise MachineError(f"no event {name} within {seconds:g} s") from None
