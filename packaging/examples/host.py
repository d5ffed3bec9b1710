#!/usr/bin/env python3
"""Runs a command in a guest: a whole client in a page, as a model for others.

    host.py unix:/run/agent.sock -- sh -c 'echo hello; exit 3'
    host.py hybrid:/run/vm/vsock.sock:1024 -- uname -a

The command's output becomes ours, and so does its exit status (128 + N for signal N; 125 when it was
not started). Written from protocol/PROTOCOL.md alone, whose sections stand in brackets, with the
standard library alone. Left out: standard input, several calls at once, and taking a process up
again after a lost connection (process.attach with `stdout_from`) [10].
"""

import base64
import json
import os
import socket
import struct
import sys

REQUEST, RESPONSE, NOTIFY, DATA, END, GAP, CREDIT, CANCEL, PING, PONG, GOAWAY, BLOCKED = range(1, 13)
HEADER = struct.Struct(">IIBBBxQ")  # length, stream, type, flags, channel, 0, offset [3]
NUMBER = struct.Struct(">Q")
PREFACE = b"\xc0NSP\x01\x00\x00\x00"  # [2]
MORE = 1
OUTPUTS = {2: sys.stdout.buffer, 3: sys.stderr.buffer}
NOT_STARTED = 125


class Fault(Exception):
    """What the agent answered instead of a result, or why the connection is of no use."""


def dial(address):
    """unix:PATH, or hybrid:PATH:PORT: the vsock of Firecracker and Cloud Hypervisor."""
    kind, _, place = address.partition(":")
    path, _, port = (place, "", "") if kind == "unix" else place.rpartition(":")
    link = socket.socket(socket.AF_UNIX)
    link.settimeout(60)
    link.connect(path)
    if kind == "hybrid":
        link.sendall(b"CONNECT %d\n" % int(port))  # in one write
        answer = b""
        while not answer.endswith(b"\n"):  # byte by byte: what follows is the agent's
            byte = link.recv(1)
            if not byte:
                raise Fault("nobody listens in the guest; while it boots, try again")
            answer += byte
        if not answer.startswith(b"OK "):
            raise Fault(f"no vsock answers there, but {answer!r}")
    return link


class Connection:
    """One call at a time."""

    def __init__(self, link):
        self.link = link
        self.input = link.makefile("rb")
        self.last_stream = -1
        link.sendall(PREFACE)
        if self.read(len(PREFACE))[:5] != PREFACE[:5]:
            raise Fault("no agent that speaks version 1 answers there")
        hello = self.call("hello", {"client": "host.py"})  # [5]
        self.window = hello["limits"]["initial_credit"]
        # The agent is never silent for longer than it is until it asks whether we are there [7].
        link.settimeout(2 * hello["keepalive"]["idle_ms"] / 1000)

    def read(self, count):
        data = self.input.read(count)
        if len(data) < count:
            raise Fault("the connection was lost")
        return data

    def send(self, kind, stream, channel=0, offset=0, payload=b""):
        self.link.sendall(HEADER.pack(len(payload), stream, kind, 0, channel, offset) + payload)

    def request(self, method, params):
        """Opens a stream [4]; its number."""
        self.last_stream += 2  # ours are odd
        self.send(REQUEST, self.last_stream, payload=json.dumps({"method": method, "params": params}).encode())
        return self.last_stream

    def frames(self, stream):
        """(type, channel, offset, payload) of that stream's frames, up to its RESPONSE."""
        text = {RESPONSE: b"", NOTIFY: b""}
        kind = None
        while kind != RESPONSE:
            length, number, kind, flags, channel, offset = HEADER.unpack(self.read(HEADER.size))
            payload = self.read(length)
            if kind == PING:
                self.send(PONG, 0, payload=payload)
            elif kind == GOAWAY:
                raise Fault(json.loads(payload)["error"]["message"])
            elif number == stream and kind in text:
                text[kind] += payload
                if flags & MORE:  # the text goes on in another frame
                    kind = None
                else:
                    yield kind, channel, offset, json.loads(text[kind])
                    text[kind] = b""
            elif number == stream:
                yield kind, channel, offset, payload

    def call(self, method, params):
        stream = self.request(method, params)
        return next(result(payload) for kind, _, _, payload in self.frames(stream) if kind == RESPONSE)


def result(answer):
    if "error" in answer:
        raise Fault(f"{answer['error']['data']['name']}: {answer['error']['message']}")
    return answer["result"]


def as_json(argument):
    """Bytes in JSON [4]."""
    try:
        return argument.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(argument).decode()}


def run(connection, argv):
    """Starts argv and passes its output on; returns what section 10 calls `exit`."""
    stream = connection.request("process.start", {"argv": [as_json(word) for word in argv], "attach": True})
    done, limit = {}, {}  # by channel: bytes before this are ours; up to this the agent may send [6]
    for kind, channel, offset, payload in connection.frames(stream):
        if kind == RESPONSE:
            return result(payload)["exit"]
        if kind == NOTIFY:
            if payload["method"] == "process.started":
                done = {2: int(payload["params"]["stdout_from"]), 3: int(payload["params"]["stderr_from"])}
                limit = {number: start + connection.window for number, start in done.items()}
            continue
        if kind == DATA:
            OUTPUTS[channel].write(payload)
            OUTPUTS[channel].flush()
            done[channel] = offset + len(payload)
        elif kind == GAP:
            done[channel] = NUMBER.unpack(payload)[0]
            limit[channel] += done[channel] - offset
            print(f"host.py: {done[channel] - offset} bytes are gone", file=sys.stderr)
        if kind == BLOCKED or limit[channel] - done[channel] < connection.window * 3 // 4:
            limit[channel] = done[channel] + connection.window
            connection.send(CREDIT, stream, channel, done[channel], NUMBER.pack(limit[channel]))
    raise Fault("the call ended without an answer")


def main():
    if len(sys.argv) < 4 or sys.argv[2] != "--":
        sys.exit(__doc__)
    try:
        ended = run(Connection(dial(sys.argv[1])), [os.fsencode(word) for word in sys.argv[3:]])
    except (Fault, OSError) as error:
        print(f"host.py: {error}", file=sys.stderr)
        return NOT_STARTED
    return ended["code"] if "code" in ended else 128 + ended["signal"]


if __name__ == "__main__":
    sys.exit(main())
