"""What many tests need: expected errors, programs to run, sinks."""

import os
import re
import sys
import time

from support import payload
from support.agent import TOP, Agent, agent_program, launch
from support.tap import Failure, at_most, check, equal, scaled
from support.wire import STDERR, STDOUT, Connection, Lost, RpcError, Run


class Discard:
    """A sink that only counts."""

    def __init__(self):
        self.count = 0

    def update(self, data):
        self.count += len(data)


def started(case, **options):
    """An agent and a connection to it."""
    agent = Agent(case, **options)
    return agent, agent.connect()


def fails(call, name, **expected):
    """The call ends in that error; expected names attributes of it. Returns the error."""
    try:
        result = call()
    except RpcError as error:
        equal(error.name, name, str(error))
        for attribute, value in expected.items():
            equal(getattr(error, attribute), value, f"{attribute} of {error}")
        return error
    raise Failure(f"expected {name}, got {result}")


def refused(case, *arguments):
    """The agent program ends by itself, quickly, with a message; returns (status, message)."""
    began = time.monotonic()
    process = launch(case, [agent_program(), *arguments], stdin=-3, stdout=-1, stderr=-1, cwd=case.directory)
    out, err = process.communicate(timeout=scaled(5))
    at_most(time.monotonic() - began, scaled(2), "seconds")
    check(process.returncode > 0, f"{arguments}: status {process.returncode}")
    equal(out, b"", f"{arguments}: standard output")
    check(err.strip() and err.count(b"\n") <= 6, f"{arguments}: a short message: {err!r}")
    return process.returncode, err.decode()


def attached(connection, process, **fields):
    """Attaches to a process and follows it to its end; a Run."""
    stream = connection.attach(process, **fields)
    stream.wait()
    return Run(stream)


def script(case, name, text, mode=0o755):
    """A file with that text in the test's directory; its path."""
    path = case.path(name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, mode)
    return path


def python(code):
    """argv of a Python program, without what slows its start."""
    return [sys.executable, "-I", "-S", "-c", code]


def zeros(size):
    """argv of a program that writes so many zero bytes."""
    return ["/usr/bin/head", "-c", str(size), "/dev/zero"]


def table(path):
    """{name: second column} of an X-macro table."""
    with open(os.path.join(TOP, path), encoding="utf-8") as file:
        return dict(re.findall(r"^X\((\w+), *([^,]+),", file.read(), re.M))


class Follower:
    """A lossless reader that goes on after every loss of its connection, until the end."""

    def __init__(self, address, process, reader, start=None):
        self.address = address
        self.process = process
        self.fields = {"reader": reader, "hold_ms": 60000}
        self.start = start  # parameters of process.start; they have a key
        self.sinks = {STDOUT: payload.Checker(1), STDERR: payload.Checker(2)}
        self.losses = 0
        self.result = None

    def once(self, connection):
        fields = dict(self.fields, stdout_from=self.sinks[STDOUT].offset, stderr_from=self.sinks[STDERR].offset)
        if self.start:
            stream = connection.start(sinks=self.sinks, id=self.process, **self.start, **fields)
        else:
            stream = connection.attach(self.process, sinks=self.sinks, **fields)
        try:
            return stream.wait(120)
        finally:
            for name, incoming in stream.channels.items():
                equal(incoming.gaps, [], f"gaps of channel {name}")

    def follow(self):
        while True:
            try:
                with Connection(self.address) as connection:
                    self.result = self.once(connection)
                    return self
            except Lost:
                self.losses += 1

    def expect(self, total, code):
        for channel, sink in self.sinks.items():
            equal((sink.offset, sink.wrong_at), (total, None), f"bytes of channel {channel}, first wrong byte")
        equal((self.result["stdout"], self.result["stderr"]), (total, total))
        equal(self.result["exit"]["code"], code)
