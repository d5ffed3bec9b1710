"""What many tests need: expected errors, programs to run, sinks."""

import os
import sys
import time

from support.agent import Agent, agent_program, launch
from support.tap import Failure, at_most, check, equal, scaled
from support.wire import RpcError, Run


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
    check(err.strip() and err.count(b"\n") <= 3, f"{arguments}: a short message: {err!r}")
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
