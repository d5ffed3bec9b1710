#!/usr/bin/env python3
"""The agent dies: nothing is lost and nothing comes twice.

NSP_KILLS is the number of kills in the storms (20; packaging/check takes 200), NSP_EXITS that of the
processes that exit unseen.
"""

import os
import random
import resource
import signal
import threading
import time

from support import payload, proc
from support.agent import Agent, needs
from support.expect import Follower, attached
from support.tap import Failure, at_most, check, equal, eventually, main, number_from_environment, scaled, test
from support.wire import Connection, Lost, RpcError, Run, dial

MIB = 1 << 20
KILLS = number_from_environment("NSP_KILLS", 20)
LONG = number_from_environment("NSP_LONG", 0)
SEED = number_from_environment("NSP_SEED", time.time_ns() % 1000000)


def dice(case):
    """Random numbers that a failed test can be repeated with."""
    case.on_failure(lambda: f"repeat with NSP_SEED={SEED}")
    return random.Random(SEED)


def insist(address, attempt, tries=50):
    """attempt(connection) on new connections until none is lost. A refused connect is an error."""
    for _ in range(tries):
        try:
            with Connection(address) as connection:
                return attempt(connection)
        except Lost:
            continue
    raise Failure(f"the connection was lost {tries} times")


def ignoring(name, call):
    """The call's result, or None for that error."""
    try:
        return call()
    except RpcError as error:
        if error.name != name:
            raise
        return None


class ShortRuns:
    """Starts one short process after another, by key, through all losses."""

    def __init__(self, address, log):
        self.address = address
        self.log = log
        self.stop = threading.Event()
        self.count = 0

    def one(self, connection, number):
        start = {
            "argv": ["/bin/sh", "-c", 'echo "$1" >>"$2"; exit "$3"', "sh", str(number), self.log, str(number % 200)],
            "key": f"run-{number}",
            "id": f"short-{number}",
        }
        connection.call("process.start", **start)
        equal(connection.call("process.wait", id=start["id"])["exit"]["code"], number % 200)

    def run(self):
        while not self.stop.is_set():
            insist(self.address, lambda c: self.one(c, self.count))
            self.count += 1

    def expect(self):
        with open(self.log, encoding="ascii") as file:
            started = [int(line) for line in file]
        expected = list(range(self.count))
        wrong = [(n, started.count(n)) for n in sorted(set(expected) | set(started)) if started.count(n) != 1]
        equal(wrong, [], f"keys of {self.count} that were not started once, and how often")
        equal(started, expected, "the order")


def baseline(agent):
    """Descriptors of a restarted agent that nobody talks to."""
    agent.restart_agent()
    agent.disconnect()
    time.sleep(0.05)
    return agent.descriptors()


def forget_all(agent):
    def forget(connection):
        for record in connection.processes():
            ignoring("NOT_FOUND", lambda: connection.call("process.forget", id=record["id"]))

    insist(agent.address, forget)


@test(timeout=60 + 2 * KILLS)
def kills_at_random_moments_of_a_flood_lose_nothing(case):
    chance = dice(case)
    agent = Agent(case)
    before = baseline(agent)
    go, stop = case.path("go"), case.path("stop")
    followers, threads, reports = [], [], []
    for number, policy in enumerate(("auto", "block", "auto")):
        process, report = f"flood-{number}", case.path(f"report-{number}")
        start = {
            "argv": payload.command("until", go, stop, report, 70 + number),
            "key": f"key-{number}",
            "policy": policy,
            "ring_bytes": (MIB, 256 << 10, 65536)[number],
        }
        first = Follower(agent.address, process, f"{number:016x}", start)
        threads.append(case.thread(first.follow))
        eventually(lambda: insist(agent.address, lambda c: is_known(c, process)), 10, "the flood is started")
        second = Follower(agent.address, process, f"{number + 16:016x}")
        threads.append(case.thread(second.follow))
        followers += [(number, first), (number, second)]
        reports.append(report)
    eventually(lambda: readers(agent) == 6, 10, "all readers are attached")
    short = ShortRuns(agent.address, case.path("short.log"))
    short_thread = case.thread(short.run)
    open(go, "w", encoding="ascii").close()
    slowest = 0
    for _ in range(KILLS):
        time.sleep(chance.uniform(0.0, 0.12))
        agent.kill_agent()
        killed = time.monotonic()
        eventually(agent.find_agent, 5, "the next agent")
        slowest = max(slowest, time.monotonic() - killed)
    open(stop, "w", encoding="ascii").close()
    short.stop.set()
    short_thread.join(30)
    for thread in threads:
        thread.join(60)
    for number, follower in followers:
        with open(reports[number], encoding="ascii") as file:
            follower.expect(int(file.read()), 70 + number)
    check(sum(f.losses for _, f in followers) >= min(KILLS, 6), "the connections were lost in between")
    short.expect()
    forget_all(agent)
    agent.expect_no_workload()
    agent.expect_no_zombies()
    agent.expect_descriptors(before)


def is_known(connection, process):
    return ignoring("NOT_FOUND", lambda: connection.call("process.get", id=process))


def readers(agent):
    records = insist(agent.address, lambda c: c.processes())
    return sum(count_of(record["readers"]) for record in records)


def count_of(value):
    return value if isinstance(value, int) else len(value)


@test(timeout=30 + KILLS)
def a_start_that_was_cut_off_happens_exactly_once(case):
    chance = dice(case)
    agent = Agent(case)
    log = case.path("log")
    open(log, "w", encoding="ascii").close()
    for number in range(KILLS):
        start = {
            "argv": ["/bin/sh", "-c", f"echo {number} >>{log}; exit {number % 100}"],
            "key": f"key-{number}",
        }
        agent.disconnect()
        connection = agent.connect()
        connection.request("process.start", start)
        time.sleep(chance.uniform(0, 0.003))
        agent.kill_agent()
        result = insist(agent.address, lambda c: c.call("process.start", **start))
        equal(insist(agent.address, lambda c: c.call("process.wait", id=result["id"]))["exit"]["code"], number % 100)
    with open(log, encoding="ascii") as file:
        equal([int(line) for line in file], list(range(KILLS)))
    equal(len(insist(agent.address, lambda c: c.processes())), KILLS)


@test()
def what_had_exited_is_still_served_after_a_kill(case):
    agent = Agent(case)
    connection = agent.connect()
    runs = [connection.run(command=f"printf out{n}; printf err{n} >&2; exit {n}") for n in range(10)]
    runs.append(connection.run(command="kill -9 $$"))
    runs.append(connection.run(["/bin/sleep", "10"], timeout_ms=50))
    before = {r["id"]: r for r in connection.processes()}
    agent.restart_agent()
    connection = agent.connect()
    equal({r["id"]: r for r in connection.processes()}, before)
    for run in runs:
        equal(connection.call("process.wait", id=run.id)["exit"], run.exit)
        stream = connection.attach(run.id)
        stream.wait()
        again = Run(stream)
        equal((again.stdout, again.stderr, again.exit), (run.stdout, run.stderr, run.exit))


@test()
def what_runs_is_found_again(case):
    agent = Agent(case)
    connection = agent.connect()
    command = "printf before; read x; printf after; exit 6"
    process = connection.call("process.start", command=command, stdin="pipe", id="kept", key="k")
    eventually(lambda: connection.call("process.get", id="kept")["stdout"]["end"] == 6, 5, "output")
    before = connection.call("process.get", id="kept")
    agent.restart_agent()
    connection = agent.connect()
    equal(connection.call("process.get", id="kept"), before)
    equal(connection.call("process.start", command=command, stdin="pipe", key="k")["pid"], process["pid"], "by key")
    stream = connection.attach("kept", stdin=True)
    stream.wait_note("process.started")
    stream.write(b"\n")
    stream.wait()
    equal((Run(stream).stdout, Run(stream).code), (b"beforeafter", 6))


@test()
def a_time_limit_still_holds_after_a_kill(case):
    agent = Agent(case)
    connection = agent.connect()
    began = time.monotonic()
    command = "trap '' TERM; while :; do sleep 0.05; done"
    process = connection.call("process.start", command=command, timeout_ms=500, grace_ms=500)["id"]
    agent.restart_agent()
    result = agent.connect().call("process.wait", id=process)["exit"]
    took = time.monotonic() - began
    equal((result["signal"], result["timed_out"]), (9, True))
    check(0.9 <= took <= scaled(4), f"took {took:.2f} s")


def waiting_processes(connection, fifo, count):
    """count shells that exit with their number as soon as the fifo is opened and closed."""
    starts = []
    for number in range(count):
        argv = ["/bin/sh", "-c", 'read x <"$1"; exit "$2"', "sh", fifo, str(number % 256)]
        starts.append(connection.request("process.start", {"argv": argv, "id": f"p{number}", "merge": True}))
        if len(starts) > 200:
            starts.pop(0).wait(30)
    for start in starts:
        start.wait(30)


@test(timeout=120)
def exits_while_the_agent_is_stopped_and_then_killed_are_right(case):
    agent = Agent(case)
    connection = agent.connect()
    count = number_from_environment("NSP_EXITS", 3000)
    soft, _ = os_limit()
    needs(soft > count + 200, f"only {soft} processes are allowed")
    fifo = case.path("fifo")
    os.mkfifo(fifo)
    waiting_processes(connection, fifo, count)
    stopped = agent.pid
    os.kill(stopped, signal.SIGSTOP)
    release(fifo, agent, count)
    eventually(lambda: not agent.workload(), 30, lambda: f"all are reaped: {len(agent.workload())} left")
    os.kill(stopped, signal.SIGKILL)
    records = insist(agent.address, lambda c: c.processes(), tries=100)
    kept = min(count, insist(agent.address, lambda c: c.hello)["limits"]["exited"])
    check(len(records) >= kept, f"{len(records)} records are kept, at least {kept} must be")
    for record in records:
        check(record["state"] == "exited" and record["pid"] > 0, f"{record}")
        equal(record["exit"]["code"], int(record["id"][1:]) % 256, record["id"])


def os_limit():
    soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    return (1 << 30 if soft == resource.RLIM_INFINITY else soft), hard


def release(fifo, agent, count):
    """Lets all readers of the fifo go on; some may only now come to open it."""
    end = time.monotonic() + scaled(30)
    while time.monotonic() < end and len(agent.workload()) > 0:
        try:
            os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            pass
        time.sleep(0.02)


@test(timeout=60)
def exits_at_the_moment_of_the_kill_are_right(case):
    chance = dice(case)
    agent = Agent(case)
    for turn in range(max(3, KILLS // 4)):
        with Connection(agent.address) as connection:
            for number in range(20):
                argv = ["/bin/sh", "-c", f"sleep 0.{chance.randrange(10, 60):03d}; echo {number}; exit {number}"]
                connection.call("process.start", argv=argv, id=f"{turn}-{number}")
        time.sleep(chance.uniform(0, 0.06))
        agent.kill_agent()
        for number in range(20):
            name = f"{turn}-{number}"
            equal(insist(agent.address, lambda c: c.call("process.wait", id=name))["exit"]["code"], number)
            run = insist(agent.address, lambda c: attached(c, name))
            equal(run.stdout, b"%d\n" % number)
    agent.expect_no_workload()


@test(timeout=60)
def input_is_written_once_across_kills(case):
    chance = dice(case)
    agent = Agent(case)
    total = 24 * MIB
    text = payload.Payload(3).at(0, total)
    start = {"argv": payload.command("read"), "id": "reader", "stdin": "pipe"}
    insist(agent.address, lambda c: c.call("process.start", **start))
    offsets = [0]

    def feed(connection):
        stream = connection.attach("reader", stdin=True, reader="00000000000000aa")
        offset = int(stream.wait_note("process.started")["stdin_offset"])
        check(offset >= offsets[-1], f"the offset went back from {offsets[-1]} to {offset}")
        offsets.append(offset)
        stream.write(text[offset:])
        stream.close_input()
        stream.wait(60)
        return Run(stream)

    thread = case.thread(lambda: insist(agent.address, feed, tries=200))
    for _ in range(max(5, KILLS // 2)):
        time.sleep(chance.uniform(0.005, 0.06))
        agent.kill_agent()
    run = thread.join(60)
    equal((run.stdout, run.code), (b"%d None\n" % total, 0), f"offsets {offsets}")


@test(timeout=30)
def connects_are_never_refused_during_a_restart(case):
    agent = Agent(case)
    done = threading.Event()
    slowest = [0.0]

    def connect_again_and_again():
        count = 0
        while not done.is_set():
            began = time.monotonic()
            insist(agent.address, lambda c: c.call("ping"))
            slowest[0] = max(slowest[0], time.monotonic() - began)
            count += 1
        return count

    def knock():
        while not done.is_set():
            dial(agent.address).close()
            time.sleep(0.001)

    threads = [case.thread(connect_again_and_again), case.thread(knock)]
    for _ in range(10):
        time.sleep(0.05)
        agent.kill_agent()
    time.sleep(0.05)
    done.set()
    check(threads[0].join() > 10, "some were answered")
    threads[1].join()
    at_most(slowest[0], scaled(3), "seconds of the slowest answer")


@test(timeout=30)
def an_agent_that_dies_in_quick_succession_comes_back(case):
    agent = Agent(case)
    process = agent.connect().call("process.start", argv=["/bin/sleep", "100"])
    for _ in range(10):
        agent.kill_agent()
    equal(insist(agent.address, lambda c: c.call("process.get", id=process["id"]))["pid"], process["pid"])
    insist(agent.address, lambda c: c.call("process.kill", id=process["id"], signal="KILL"))


@test()
def a_signal_that_ends_the_agent_by_itself_restarts_it_too(case):
    agent = Agent(case)
    process = agent.connect().call("process.start", argv=["/bin/sleep", "100"])
    for number in (signal.SIGABRT, signal.SIGQUIT, signal.SIGTRAP):
        agent.kill_agent(number)
        equal(insist(agent.address, lambda c: c.call("process.get", id=process["id"]))["pid"], process["pid"])
    insist(agent.address, lambda c: c.call("process.kill", id=process["id"], signal="KILL"))


# The supervisor


@test()
def the_agent_ends_with_its_supervisor(case):
    agent = Agent(case)
    process = agent.connect().call("process.start", argv=["/bin/sleep", "100"])
    pid = agent.pid
    agent.abandon()
    eventually(lambda: not proc.is_running(pid), 5, "the agent ends")
    check(proc.is_running(process["pid"]), "the workload is left alone")
    os.kill(process["pid"], signal.SIGKILL)


if __name__ == "__main__":
    main()
