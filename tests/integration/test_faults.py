#!/usr/bin/env python3
"""Allocations and system calls of the agent fail, one at a time or every nth: each request ends in a
result, a typed error or a closed connection, a new try succeeds, and nothing is lost, left or leaked.

Needs a build with --enable-fault-injection. Each test samples about NSP_FAULTS (15) of the calls that
can fail; NSP_FAULTS_LONG=1 makes each of them fail.
"""

import errno
import os
import re
import subprocess
import time

from support.agent import Agent, agent_program, launch
from support.fault import AGENT, DIE_AFTER, DIE_BEFORE, SHORT, SUPERVISOR, Plan, is_built_in, name_of
from support.payload import Payload
from support.tap import Failure, check, equal, eventually, main, number_from_environment, scaled, test
from support.wire import STDOUT, Connection, Lost, RpcError, TextConnection, from_bytes

SAMPLES = number_from_environment("NSP_FAULTS", 15)
LONG = number_from_environment("NSP_FAULTS_LONG", 0)
TRIES = 5  # one fault costs at most two: its own, and the agent's restart
TEXT = Payload(9).at(0, 150000)
TYPED = (
    "EXHAUSTED",
    "SPAWN",
    "SYSTEM",
    "PERMISSION",
    "DEADLINE",
    "INVALID_PARAMS",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "STATE",
)
ENDED = re.compile(r'"agent ended" pid=\d+ (signal|code)=(\d+)')


class GaveUp(Failure):
    """Everything was in order, but no try succeeded."""


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

    def connect(self):
        connection = Connection(self.address, hello=False)
        try:
            connection.call("hello")
        except Exception:
            connection.close()
            raise
        return connection

    def insist(self, step, about):
        """step(connection), again after a typed error or a lost connection."""
        errors = []
        for _ in range(self.tries):
            try:
                self.connection = self.connection or self.connect()
                return step(self.connection)
            except Lost as lost:
                errors.append(str(lost))
                self.close()
            except RpcError as error:
                check(error.name in TYPED, f"{about}: {error}")
                errors.append(str(error))
            self.errors += errors[-1:]
        raise GaveUp(f"{about} failed {self.tries} times: {errors}")

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
            connection.until(lambda: len(sink.bytes) >= cuts[0] or stream.done, about="a third of the output")
            if stream.done:
                stream.result()
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
    wrong = next((i for i, (a, b) in enumerate(zip(sink.bytes, TEXT)) if a != b), None)
    equal(wrong, None, "first wrong byte")
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
    raise GaveUp(f"text mode failed {client.tries} times: {errors}")


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


def look_around(client, _name):
    look(client)
    forget_all(client)


PARTS = (echo, text_mode, control, write_input, look_around)


def scenario(client, number):
    try:
        for part in PARTS:
            part(client, f"{part.__name__}-{number}")
    finally:
        client.close()


class Target:
    """An agent and its plan."""

    def __init__(self, case):
        self.case = case
        self.plan = Plan(case)
        case.defer(self.plan.disarm)
        self.agent = Agent(case, arguments=["--log-level", "debug"], environment=self.plan.environment)
        self.log_at = 0
        self.now = "before any fault"
        case.on_failure(lambda: f"at {self.now}")
        Connection(self.agent.address).close()
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

    def expect_sound(self, killed=False):
        """Nothing was left behind by what failed. Returns how often the agent was restarted.
        killed: the test has killed agents too."""
        self.plan.disarm()
        with Connection(self.agent.address) as connection:
            connection.call("ping")
        self.agent.expect_no_workload()
        log = self.new_log()
        ends = ENDED.findall(log)
        for how, number in ends:
            sound = killed and number == "9" if how == "signal" else number in ("1", "3", "127")
            check(sound, f"the agent ended with {how} {number}:\n{log}")
        for mark in ("Sanitizer", "runtime error"):
            check(mark not in log, f"the sanitizer complains:\n{log}")
        try:
            self.agent.expect_descriptors(self.descriptors, 1)
        except Failure as failure:
            raise Failure(f"{failure}\n{log}") from None
        return len(ends)

    def count(self, kind, error):
        """How many calls there are that could fail."""
        self.plan.arm(kind, error, 1 << 40)
        scenario(Client(self.agent.address), "counted")
        check(self.plan.seen > 0, f"{kind} is called")
        return self.plan.seen

    def one(self, number, kind, error):
        """Makes that call fail."""
        self.now = f"{kind} {name_of(error)} number {number}"
        self.plan.arm(kind, error, number)
        client = Client(self.agent.address)
        scenario(client, f"{kind}-{error}-{number}")
        failed = self.plan.failed
        restarts = self.expect_sound()
        return failed, restarts, client.errors


def numbers(total, samples=SAMPLES):
    """Those of 1 ... total that are tried."""
    step = 1 if LONG else max(1, total // samples)
    return range(1 + os.getpid() % step, total + 1, step)


def each_fails(case, kind, error, invisible=False):
    """One call of the agent at a time. invisible: nobody notices."""
    target = Target(case)
    total = target.count(kind, error)
    hit = restarted = 0
    for number in numbers(total):
        failed, restarts, errors = target.one(number, kind, error)
        hit += failed
        restarted += restarts
        if invisible:
            equal((restarts, errors), (0, ["closed by ourselves"]), target.now)
    report(kind, error, total, hit, restarted)


def report(kind, error, total, hit, restarted):
    print(f"# {kind} {name_of(error)}: {total} calls, {hit} failed, {restarted} restarts", flush=True)


SINGLE = (
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


def register(rows, run, name, seconds=60):
    """One test a row."""
    for row in rows:

        def one(case, row=row):
            run(case, *row)

        one.__name__ = name.format(row[0], name_of(row[1]))
        test(timeout=20 * seconds if LONG else seconds)(one)


register(SINGLE, each_fails, "each_{}_call_fails_as_{}")


# The agent dies at a given call


def dies_at_each(case, kind, error):
    """Not at random moments: at every system call of the scenario, or at a sample of them."""
    target = Target(case)
    total = target.count(kind, error)
    hit = restarted = 0
    for number in numbers(total, 2 * SAMPLES):
        target.now = f"{name_of(error)} number {number}"
        target.plan.arm(kind, error, number)
        scenario(Client(target.agent.address), f"{name_of(error)}-{number}")
        restarted += target.expect_sound(killed=True)
        hit += target.plan.failed  # now: it may die while it closes the last connection
    equal(restarted, hit, "each death is one restart")
    report(kind, error, total, hit, restarted)


register((("ANY", DIE_BEFORE), ("ANY", DIE_AFTER)), dies_at_each, "the_agent_may_{1}_any_system_call", 90)


# All the time

EVERY = (
    ("READ", errno.EINTR, 2, True),
    ("READ", SHORT, 1, True),
    ("WRITE", errno.EINTR, 2, True),
    ("WRITE", SHORT, 1, True),
    ("SPLICE", errno.EINTR, 2, True),
    ("SPLICE", SHORT, 1, True),
    ("ACCEPT", errno.EAGAIN, 2, True),
    ("WAIT", errno.EINTR, 2, True),
    ("ALLOC", errno.ENOMEM, 7, False),
    ("ALLOC", errno.ENOMEM, 61, False),
    ("ALLOC", errno.ENOMEM, 1, False),
    ("READ", errno.EIO, 29, False),
    ("WRITE", errno.EPIPE, 37, False),
    ("FD", errno.EMFILE, 1, False),
    ("FD", errno.EMFILE, 3, False),
    ("EPOLL", errno.ENOMEM, 2, False),
    ("CLONE", errno.EAGAIN, 1, False),
)


def every_fails(case, kind, error, every, invisible):
    """Every nth call fails. invisible: nobody notices; otherwise errors and losses are all right as
    long as somebody answers, and what comes afterwards is as ever."""
    target = Target(case)
    target.now = f"{kind} {name_of(error)} every {every}"
    target.plan.arm(kind, error, 1, every=every, count=0)
    client = Client(target.agent.address, tries=TRIES if invisible else 3)
    for part in PARTS:
        try:
            part(client, part.__name__)
        except GaveUp as failure:
            check(not invisible, failure)
    client.close()
    hit = target.plan.failed
    target.plan.disarm()
    rest = Client(target.agent.address)
    forget_all(rest)
    rest.close()
    restarts = target.expect_sound()
    if invisible:
        equal((restarts, client.errors), (0, ["closed by ourselves"]))
    scenario(Client(target.agent.address), "afterwards")
    target.expect_sound()
    report(kind, error, target.plan.seen, hit, restarts)


for row in EVERY:
    register((row,), every_fails, "every_%d_{}_fails_as_{}" % row[2])


# A new agent takes over


class Kept:
    """Processes that outlive agents."""

    def __init__(self, client):
        self.client = client
        self.written = 0
        client.call("process.start", argv=["/bin/cat"], stdin="pipe", id="cat", key="cat")
        client.call("process.start", command="printf out; printf err >&2; exit 5", id="done", key="done")
        equal(client.call("process.wait", id="done")["exit"]["code"], 5)

    def read(self, name, start):
        def step(connection):
            stream = connection.attach(name, follow=False, stdout_from=start)
            stream.wait()
            return stream.channels[STDOUT].bytes

        return self.client.insist(step, "attach")

    def expect(self, number):
        line = f"line {number}\n"
        self.client.call("process.stdin", id="cat", data=line, offset=self.written)
        eventually(lambda: self.read("cat", self.written) == line.encode(), 5, "cat answers")
        self.written += len(line)
        equal((self.read("done", 0), self.client.call("process.wait", id="done")["exit"]["code"]), (b"out", 5))
        self.client.close()

    def end(self):
        forget_all(self.client)
        self.client.close()


def take_over(target, kept, number):
    target.agent.kill_agent()
    kept.expect(number)
    seen = target.plan.seen
    target.plan.disarm()
    return seen


def taking_over_fails(case, kind, error):
    """An agent cannot start again: its successor can, and finds everything."""
    target = Target(case)
    kept = Kept(Client(target.agent.address))
    target.plan.arm(kind, error, 1 << 40)
    total = take_over(target, kept, 0)
    hit = 0
    for number in numbers(total):
        target.now = f"{kind} {name_of(error)} number {number} of {total}"
        target.plan.arm(kind, error, number)
        take_over(target, kept, number)
        hit += target.plan.failed
    target.agent.kill_agent()
    kept.end()
    report(kind, error, total, hit, target.expect_sound(killed=True))


TAKING_OVER = (
    ("ALLOC", errno.ENOMEM),
    ("READ", errno.EINTR),
    ("READ", errno.EIO),
    ("WRITE", errno.EPIPE),
    ("FD", errno.EMFILE),
    ("EPOLL", errno.ENOMEM),
    ("MAP", errno.ENOMEM),
    ("WAIT", errno.EINTR),
    ("OTHER", errno.EPERM),
)
register(TAKING_OVER, taking_over_fails, "taking_over_goes_on_when_{}_fails_as_{}")


# The supervisor


def supervising_fails(case, kind, error):
    """The supervisor neither ends nor loses anything."""
    target = Target(case)
    client = Client(target.agent.address)
    target.plan.arm(kind, error, 1 << 40, role=SUPERVISOR)
    supervise(target, client, "counted")
    total = target.plan.seen
    hit = 0
    for number in numbers(total):
        target.now = f"{kind} {name_of(error)} number {number} of {total} in the supervisor"
        target.plan.arm(kind, error, number, role=SUPERVISOR)
        supervise(target, client, number)
        hit += target.plan.failed
        target.expect_sound(killed=True)
    report(kind, error, total, hit, 0)


def supervise(target, client, number):
    """Exits, descriptors, and an agent that dies."""
    control(client, f"before-{number}")
    client.close()
    target.agent.kill_agent()
    write_input(client, f"after-{number}")
    forget_all(client)
    client.close()


SUPERVISING = (
    ("READ", errno.EINTR),
    ("READ", errno.EIO),
    ("WRITE", errno.EINTR),
    ("WRITE", errno.EAGAIN),
    ("FD", errno.EMFILE),
    ("CLONE", errno.EAGAIN),
    ("WAIT", errno.EINTR),
    ("OTHER", errno.EINTR),
    ("OTHER", errno.EPERM),
)
register(SUPERVISING, supervising_fails, "the_supervisor_goes_on_when_{}_fails_as_{}")


# The very first start


def first_log(case):
    with open(case.path("first.log"), encoding="utf-8", errors="replace") as log:
        return log.read()


def start_once(case, plan):
    """Starts supervisor and agent; returns the status if they refused, otherwise None."""
    path = case.path("first.sock")
    with open(case.path("first.log"), "wb") as log:
        process = launch(
            case,
            [agent_program(), "--listen", f"unix:{path}"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=dict(os.environ, **plan.environment),
        )

    def connects():
        try:
            with Connection(f"unix:{path}") as connection:
                connection.call("ping")
                return True
        except (OSError, RpcError):
            return process.poll() is not None

    eventually(connects, 15, "it starts or gives up")
    plan.disarm()
    refused = process.poll()
    if refused is None:
        process.terminate()
    process.wait(scaled(10))
    text = first_log(case)
    check("Sanitizer" not in text and "runtime error" not in text, text)
    # 127: the supervisor could not execute the agent.
    statuses = (0,) if refused is None else (1, 2, 127)
    check(process.returncode in statuses, f"it ended with {process.returncode}: {text}")
    return refused


def starting_fails(case, kind, error):
    """It says so and ends, or starts all the same."""
    plan = Plan(case)
    case.on_failure(lambda: first_log(case))
    hit = refusals = 0
    for role in (AGENT, SUPERVISOR):
        plan.arm(kind, error, 1 << 40, role=role)
        equal(start_once(case, plan), None)
        total = plan.seen
        for number in numbers(total):
            plan.arm(kind, error, number, role=role)
            refused = start_once(case, plan)
            check(refused is None or error != errno.EINTR, "an interrupted call is made again")
            refusals += refused is not None
            hit += plan.failed
    print(f"# {kind} {name_of(error)}: {hit} failed, {refusals} refusals", flush=True)


STARTING = (
    ("ALLOC", errno.ENOMEM),
    ("READ", errno.EINTR),
    ("READ", errno.EIO),
    ("WRITE", errno.EPIPE),
    ("FD", errno.EMFILE),
    ("EPOLL", errno.ENOMEM),
    ("MAP", errno.ENOMEM),
    ("CLONE", errno.EAGAIN),
    ("OTHER", errno.EPERM),
)
register(STARTING, starting_fails, "starting_says_so_when_{}_fails_as_{}")


if __name__ == "__main__":
    if is_built_in():
        main()
    else:
        print("1..0 # SKIP the agent was built without fault injection")
