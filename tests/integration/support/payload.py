"""Output whose every byte can be foretold, and programs that write it.

Run as a program (`command` makes the argv) it is the workload; imported, it says what the workload
writes. Byte n of a payload is the same for everybody, so that a reader can begin anywhere.
"""

import hashlib
import os
import sys
import time

# A period that is no multiple of any buffer size in between.
_PERIOD = 1048573
PIECES = (1, 4095, 65536, 7, 4096, 131072, 511, 32768, 65535)


def _pattern(seed):
    parts = [hashlib.blake2b(b"%d %d" % (seed, i)).digest() for i in range(_PERIOD // 64 + 1)]
    return b"".join(parts)[:_PERIOD]


class Payload:
    """The endless text of one seed."""

    def __init__(self, seed):
        self.pattern = _pattern(seed)

    def at(self, offset, length):
        """length bytes from the offset on."""
        parts = []
        while length:
            start = offset % _PERIOD
            part = self.pattern[start : start + length]
            parts.append(part)
            offset += len(part)
            length -= len(part)
        return b"".join(parts)


class Checker:
    """A sink that compares what comes with the payload, and counts."""

    def __init__(self, seed, offset=0):
        self.payload = Payload(seed)
        self.offset = offset
        self.wrong_at = None

    def update(self, data):
        if self.wrong_at is None and data != self.payload.at(self.offset, len(data)):
            self.wrong_at = self.offset
        self.offset += len(data)


def command(verb, *arguments):
    return [sys.executable, "-I", "-S", os.path.abspath(__file__), verb, *map(str, arguments)]


def _write_all(fd, data):
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _write(total):
    """TOTAL bytes of seed 1 to standard output and of seed 2 to standard error, in turns."""
    payloads = {1: Payload(1), 2: Payload(2)}
    done = 0
    turn = 0
    while done < total:
        size = min(PIECES[turn % len(PIECES)], total - done)
        turn += 1
        for fd, payload in payloads.items():
            _write_all(fd, payload.at(done, size))
        done += size


def _until(go, stop, report, status):
    """As write, from when the file GO exists until STOP does; writes the total into REPORT."""
    payloads = {1: Payload(1), 2: Payload(2)}
    while not os.path.exists(go):
        time.sleep(0.002)
    done = 0
    turn = 0
    while not os.path.exists(stop):
        size = PIECES[turn % len(PIECES)]
        turn += 1
        for fd, payload in payloads.items():
            _write_all(fd, payload.at(done, size))
        done += size
    with open(report + ".new", "w", encoding="ascii") as file:
        file.write(str(done))
    os.rename(report + ".new", report)
    os._exit(int(status))


def _read():
    """Compares standard input with seed 3; says how many bytes came and where it was wrong."""
    checker = Checker(3)
    while data := os.read(0, 1 << 16):
        checker.update(data)
    print(checker.offset, checker.wrong_at)


if __name__ == "__main__":
    verb, rest = sys.argv[1], sys.argv[2:]
    if verb == "write":
        _write(int(rest[0]))
    elif verb == "until":
        _until(*rest)
    elif verb == "read":
        _read()
