#!/usr/bin/env python3
"""Allocations and system calls of the agent fail, one at a time or every nth: each request ends in a
result, a typed error or a closed connection, a new try succeeds, and nothing is lost, left or leaked.

Needs a build with --enable-fault-injection. Each test samples about NSP_FAULTS (30) of the calls that
can fail; NSP_FAULTS_LONG=1 makes each of them fail.
"""

import errno
import os
import re
import subprocess
import time

from support import proc
from support.agent import Agent, agent_program, launch, needs
from support.fault import AGENT, SHORT, SUPERVISOR, Plan, is_built_in, name_of
from support.payload import Payload
from support.tap import Failure, check, equal, eventually, main, number_from_environment, scaled, test
from support.wire import STDOUT, Connection, Lost, RpcError, TextConnection, from_bytes

SAMPLES = number_from_environment("NSP_FAULTS", 30)
LONG = number_from_environment("NSP_FAULTS_LONG", 0)
TRIES = 5  # one fault costs at most two: its own, and the agent's restart
TEXT = Payload(9).at(0, 150000)
TYPED = ("EXHAUSTED", "SPAWN", "SYSTEM", "PERMISSION", "DEADLINE", "INVALID_PARAMS", "NOT_FOUND", "ALREADY_EXISTS", "STATE")
ENDED = re.compile(r"agent ended pid=\d+ (signal|code)=(\d+)")


class Sink:
    """What a process wrote, over all connections."""

    def __init__(self):
        self.bytes = bytearray()

    def update(self, data):
        self.bytes += data


class Client:
    """Tries each step again until it succeeds."""

    def __init__(self, address, tries=TRIES):
        self.address = address
        self.tries = tries
        self.connection = None
        self.errors = []

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def insist(self, step, about):
        """step(connection), again after a typed error or a lost connection."""
        errors = []
        for _ in range(self.tries):
            try:
                self.connection = self.connection or Connection(self.address)
                return step(self.connection)
            except Lost as lost:
                errors.append(str(lost))
                self.close()
            except RpcError as error:
                check(error.name in TYPED, f"{about}: {error}")
                errors.append(str(error))
            self.errors += errors[-1:]
        raise Failure(f"{about} failed {self.tries} times: {errors}")

    def call(self, method, accept=(), **params):
        def step(connection):
            try:
                return connection.call(method, **params)
            except RpcError as error:
                if error.name not in accept:
                    raise
                return None

        return self.insist(step, method)


def echo(client, name):
    """Through cat and back, over two connections at least."""
    sink = Sink()
    cuts = [len(TEXT) // 3]

    def step(connection):
        fields = {"reader": "00000000000000c0", "hold_ms": 60000, "stdout_from": len(sink.bytes)}
        stream = connection.start(["/bin/cat"], {STDOUT: sink}, stdin="pipe", id=name, key=name, **fields)
        offset = int(stream.wait_note("process.started")["stdin_offset"])
        if cuts:
            stream.write(TEXT[offset : cuts[0] + 1])
            connection.until(lambda: len(sink.bytes) >= cuts[0], about="a third of the output")
            cuts.pop()
            client.close()
            raise Lost("closed by ourselves")
        stream.write(TEXT[offset:])
        stream.close_input()
        result = stream.wait()
        equal(stream.channels[STDOUT].gaps, [], "gaps")
        return result

    client.tries += 1
    result = client.insist(step, "cat")
    client.tries -= 1
    check(sink.bytes == TEXT[: len(sink.bytes)], "what came is what was sent")
    equal((len(sink.bytes), result["exit"]["code"]), (len(TEXT), 0))


def text_mode(client, name):
    start = {"argv": ["/bin/sh", "-c", "printf hello; exit 7"], "id": name, "key": name, "attach": True}
    errors = []
    for _ in range(client.tries):
        try:
            with TextConnection(client.address) as connection:
                result = connection.call("process.start", **start)
                notes = [m["params"] for m in connection.others if m.get("method") == "process.output"]
                output = b"".join(from_bytes({"b64": note["data"]}) for note in notes)
                equal((output, result["exit"]["code"]), (b"hello", 7))
                connection.call("process.list")
                return
        except RpcError as error:
            check(error.name in TYPED, f"text mode: {error}")
            errors.append(str(error))
        except OSError as error:
            errors.append(str(error))
    raise Failure(f"text mode failed {client.tries} times: {errors}")


def control(client, name):
    sleep = {"argv": ["/bin/sleep", "100"], "id": name, "key": name}
    client.call("process.start", **sleep)
    equal(client.call("process.get", id=name)["state"], "running")

    def wait_and_kill(connection):
        waiting = connection.request("process.wait", {"id": name})
        connection.call("process.kill", id=name, scope="tree", grace_ms=5000)
        return waiting.wait()["exit"]

    equal(client.insist(wait_and_kill, "wait and kill")["signal"], 15)
    check(name in [record["id"] for record in client.call("process.list")["processes"]], "it is listed")


def look(client):
    for method in ("ping", "info", "stats", "log.tail", "rpc.discover"):
        client.call(method)


def write_input(client, name):
    client.call("process.start", argv=["/bin/cat"], stdin="pipe", id=name, key=name)
    client.call("process.stdin", id=name, data="hello", offset=0)
    client.call("process.close_stdin", id=name)
    equal(client.call("process.wait", id=name)["exit"]["code"], 0)


def forget_all(client):
    for record in client.call("process.list")["processes"]:
        client.call("process.kill", accept=("NOT_FOUND",), id=record["id"], signal="KILL")
        client.call("process.forget", accept=("NOT_FOUND",), id=record["id"])
    equal(client.call("process.list")["processes"], [])


def scenario(client, number):
    try:
        echo(client, f"echo-{number}")
        text_mode(client, f"text-{number}")
        control(client, f"sleep-{number}")
        write_input(client, f"input-{number}")
        look(client)
        forget_all(client)
    finally:
        client.close()


class Target:
    """An agent and its plan."""

    def __init__(self, case):
        needs(is_built_in(), "the agent was built without fault injection")
        self.case = case
        self.plan = Plan(case)
        case.defer(self.plan.disarm)
        self.agent = Agent(case, arguments=["--log-level", "debug"], environment=self.plan.environment)
        self.log_at = 0
        self.now = "before any fault"
        case.on_failure(lambda: f"at {self.now}")
        self.agent.restart_agent()
        self.new_log()
        scenario(Client(self.agent.address), "first")
        time.sleep(scaled(0.1))  # until it has closed the last connection
        self.descriptors = self.agent.descriptors()

    def new_log(self):
        with open(self.agent.log_path, encoding="utf-8", errors="replace") as log:
            log.seek(self.log_at)
            text = log.read()
            self.log_at = log.tell()
        return text

    def expect_sound(self):
        """Nothing was left behind by what failed. Returns how often the agent was restarted."""
        self.plan.disarm()
        with Connection(self.agent.address) as connection:
            connection.call("ping")
        self.agent.expect_no_workload()
        log = self.new_log()
        ends = ENDED.findall(log)
        for how, number in ends:
            check(how == "code" and number in ("1", "3"), f"the agent ended with {how} {number}:\n{log}")
        for mark in ("Sanitizer", "runtime error"):
            check(mark not in log, f"the sanitizer complains:\n{log}")
        try:
            self.agent.expect_descriptors(self.descriptors, 1)
        except Failure as failure:
            raise Failure(f"{failure}\n{log}") from None
        return len(ends)

    def one(self, number, kind, error, **plan):
        self.now = f"{kind} {name_of(error)} number {number}"
        self.plan.arm(kind, error, number, **plan)
        client = Client(self.agent.address)
        scenario(client, f"{kind}-{error}-{number}")
        failed = self.plan.failed
        restarts = self.expect_sound()
        return failed, restarts, client.errors


def numbers(total):
    """Those of 1 ... total that are tried."""
    step = 1 if LONG else max(1, total // SAMPLES)
    return range(1 + os.getpid() % step, total + 1, step)


def each_fails(case, kind, error, invisible=False, **plan):
    """One call at a time. invisible: nobody notices."""
    target = Target(case)
    target.plan.arm(kind, error, 1 << 40, **plan)
    scenario(Client(target.agent.address), "counted")
    total = target.plan.seen
    check(total > 0, f"{kind} is called")
    hit = restarted = 0
    for number in numbers(total):
        failed, restarts, errors = target.one(number, kind, error, **plan)
        hit += failed
        restarted += restarts
        if invisible:
            equal((restarts, errors), (0, ["closed by ourselves"]), target.now)
    print(f"# {kind} {name_of(error)}: {total} calls, {hit} failed, {restarted} restarts", flush=True)


for index, (kind, error, invisible) in enumerate(
    (
        ("ALLOC", errno.ENOMEM, False),
        ("READ", errno.EINTR, True),
        ("READ", errno.EIO, False),
        ("READ", SHORT, True),
        ("WRITE", errno.EINTR, True),
        ("WRITE", errno.EAGAIN, False),
        ("WRITE", errno.EPIPE, False),
        ("WRITE", SHORT, True),
        ("SPLICE", errno.EINTR, True),
        ("SPLICE", errno.ENOMEM, False),
        ("SPLICE", SHORT, True),
        ("ACCEPT", errno.EAGAIN, True),
        ("ACCEPT", errno.ECONNABORTED, True),
        ("ACCEPT", errno.EMFILE, False),
        ("FD", errno.EMFILE, False),
        ("EPOLL", errno.ENOMEM, False),
        ("MAP", errno.ENOMEM, False),
        ("CLONE", errno.EAGAIN, False),
        ("WAIT", errno.EINTR, True),
        ("OTHER", errno.EPERM, False),
    )
):

    def one_at_a_time(case, kind=kind, error=error, invisible=invisible):
        each_fails(case, kind, error, invisible)

    one_at_a_time.__name__ = f"each_{kind}_call_fails_as_{name_of(error)}"
    test(timeout=600 if LONG else 60)(one_at_a_time)


if __name__ == "__main__":
    main()
