#!/usr/bin/env python3
"""Memory under slow readers, and many processes: what there is of each stays bounded."""

import resource
import statistics
import time

from support.agent import Agent, needs
from support.expect import Discard, attached, fails, zeros
from support.tap import Failure, at_most, check, equal, eventually, main, number_from_environment, scaled, test
from support.wire import INITIAL_CREDIT, STDOUT, RpcError

MIB = 1 << 20
PENDING = number_from_environment("NSP_FLOOD_MIB", 1024) * MIB
# Pages that the agent touches for the first time during a measurement, and rounding.
SLACK_KIB = 64


def kill(connection, process):
    connection.call("process.kill", id=process, signal="KILL")


def exec_times(connection, count=40):
    times = []
    for _ in range(count):
        began = time.monotonic()
        connection.run(["/bin/true"])
        times.append(time.monotonic() - began)
    return times


# Memory


def warm(agent):
    """What is allocated once is allocated; records and output of it are forgotten."""
    with_output = agent.connect()
    for _ in range(3):
        run = with_output.run(zeros(4 * MIB), sinks={STDOUT: Discard()})
        with_output.call("process.forget", id=run.id)
    return with_output


@test(timeout=60)
def a_stopped_reader_costs_its_ring_and_nothing_else(case):
    agent = Agent(case)
    connection = warm(agent)
    quiet = statistics.median(exec_times(connection))
    before = agent.memory_kib()
    reader = agent.connect()
    sink = Discard()
    stream = reader.start(zeros(PENDING), sinks={STDOUT: sink})
    reader.until(lambda: sink.count, 5, "the first bytes")
    process = stream.note("process.started")["process"]
    end = [0]

    def stalled():
        previous, end[0] = end[0], connection.call("process.get", id=process)["stdout"]["end"]
        time.sleep(0.05)
        return previous == end[0]

    eventually(stalled, 10, "the process is blocked")
    ring = connection.hello["limits"]["ring_default"] // 1024
    at_most(agent.memory_kib() - before, ring + SLACK_KIB, "KiB more memory")
    busy = statistics.median(exec_times(connection))
    at_most(busy, quiet * 2 + 0.002, f"seconds of an exec (before: {quiet:.4f})")
    at_most(max(connection.ping() for _ in range(50)), scaled(0.1), "seconds of the slowest ping")
    result = stream.wait(40)
    equal((sink.count, result["exit"]["code"]), (PENDING, 0), "nothing is lost")


@test(timeout=30)
def a_reader_without_credit_costs_its_ring_and_nothing_else(case):
    agent = Agent(case)
    connection = warm(agent)
    before = agent.memory_kib()
    size = 256 * 1024
    streams = [
        connection.start(zeros(PENDING), credit="manual", ring_bytes=size, sinks={STDOUT: Discard()}) for _ in range(8)
    ]
    for stream in streams:
        connection.until(lambda: stream.channels[STDOUT].next == INITIAL_CREDIT, 10, "all credit is used")
    time.sleep(0.2)
    at_most(agent.memory_kib() - before, 8 * size // 1024 + SLACK_KIB + 8 * 8, "KiB more memory")
    for stream in streams:
        kill(connection, stream.note("process.started")["process"])


@test(timeout=60)
def a_thousand_runs_that_are_forgotten_cost_no_memory(case):
    agent = Agent(case)
    needs(agent.memory_kib(), "the memory cannot be measured")
    connection = agent.connect()

    def runs(count):
        for _ in range(count):
            connection.call("process.forget", id=connection.run(["/bin/echo", "x"]).id)
        connection.streams.clear()

    runs(300)
    before = agent.memory_kib()
    runs(1000)
    at_most(agent.memory_kib() - before, SLACK_KIB, "KiB more memory")


@test(timeout=30)
def readers_that_vanish_in_the_middle_of_a_flood_leave_nothing(case):
    agent = Agent(case)
    connection = warm(agent)
    before, memory = agent.descriptors(), agent.memory_kib()
    for _ in range(20):
        reader = agent.connect()
        stream = reader.start(zeros(PENDING), sinks={STDOUT: Discard()}, hold_ms=0)
        reader.until(lambda: stream.channels[STDOUT].next > 100000, 5, "the flood")
        process = stream.note("process.started")["process"]
        reader.close()
        kill(connection, process)
        connection.call("process.forget", id=process)
    agent.expect_descriptors(before)
    at_most(agent.memory_kib() - memory, 2 * SLACK_KIB, "KiB more memory")


# Numbers


@test(timeout=60)
def a_thousand_processes_run_at_once(case):
    agent = Agent(case)
    count = number_from_environment("NSP_PROCESSES", 1000)
    soft = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    needs(soft == resource.RLIM_INFINITY or soft > count + 200, f"only {soft} processes are allowed")
    connection = agent.connect()
    before = agent.descriptors()
    streams = [
        connection.start(["/bin/sh", "-c", 'echo "$1"; read x; exit $((x % 256))', "sh", str(n)], stdin="pipe")
        for n in range(count)
    ]
    for stream in streams:
        stream.wait_note("process.started", 40)
    connection.until(lambda: all(s.channels[STDOUT].next for s in streams), 20, "all have written")
    at_most(connection.ping(), scaled(0.5), "seconds of a ping")
    equal(len(connection.processes()), count)
    for number, stream in enumerate(streams):
        stream.write(b"%d\n" % number)
    for number, stream in enumerate(streams):
        equal(stream.wait(30)["exit"]["code"], number % 256)
        equal(stream.channels[STDOUT].bytes, b"%d\n" % number)
    agent.expect_no_workload()
    agent.expect_descriptors(before)


@test(timeout=120)
def as_many_processes_as_promised_and_not_one_more(case):
    needs(number_from_environment("NSP_LONG", 0), "takes long; set NSP_LONG=1")
    connection = Agent(case).connect()
    limit = connection.hello["limits"]["processes"]
    soft = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    needs(soft == resource.RLIM_INFINITY or soft > limit + 200, f"only {soft} processes are allowed")
    started, start = [], {"argv": ["/bin/sleep", "1000"], "merge": True}
    while len(started) < limit:
        batch = [connection.request("process.start", start) for _ in range(min(256, limit - len(started)))]
        started += [request.wait(60)["id"] for request in batch]
    fails(lambda: connection.call("process.start", **start), "EXHAUSTED", object="processes")
    at_most(connection.ping(), scaled(0.5), "seconds of a ping")
    kill(connection, started[7])
    connection.call("process.start", **start)


@test(timeout=40)
def the_oldest_exited_processes_are_forgotten_first(case):
    agent = Agent(case)
    connection = agent.connect()
    limit = connection.hello["limits"]["exited"]
    observed = connection.start(["/bin/echo", "kept"], id="observed", until="closed")
    observed.wait()
    for number in range(limit + 20):
        connection.call("process.start", argv=["/bin/echo", str(number)], id=f"p{number}")
        connection.call("process.wait", id=f"p{number}")
    kept = [record["id"] for record in connection.processes()]
    equal(kept, [f"p{number}" for number in range(20, limit + 20)])
    fails(lambda: connection.call("process.get", id="p0"), "NOT_FOUND")
    equal(attached(connection, f"p{limit + 19}").stdout, b"%d\n" % (limit + 19))


@test(timeout=30)
def the_output_of_exited_processes_gives_way_when_memory_is_short(case):
    agent = Agent(case, arguments=["--ring-budget", str(2 * MIB)])
    connection = agent.connect()
    for number in range(12):
        run = connection.run(zeros(300 * 1024), id=f"p{number}", sinks={STDOUT: Discard()})
        equal((run.code, run.response["stdout"]), (0, 300 * 1024))
    first, last = attached(connection, "p0"), attached(connection, "p11")
    equal((first.stdout, first.gaps[STDOUT]), (b"", [(0, 300 * 1024)]), "all of the first is named as gone")
    equal((len(last.stdout), last.gaps[STDOUT]), (300 * 1024, []), "the last is there")
    blocked = connection.start(zeros(64 * MIB), policy="block", ring_bytes=64 * MIB, sinks={STDOUT: Discard()})
    equal(blocked.wait()["stdout"], 64 * MIB, "one that wants more than there is flows all the same")


def few_descriptors():
    resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80))


@test(timeout=40)
def without_descriptors_starts_fail_by_name_and_work_again_later(case):
    agent = Agent(case, before_exec=few_descriptors)
    connection = agent.connect()
    running = []
    try:
        while len(running) < 100:
            running.append(connection.call("process.start", argv=["/bin/sleep", "100"])["id"])
        raise Failure("100 processes were started with 80 descriptors")
    except RpcError as error:
        check(error.name in ("EXHAUSTED", "SYSTEM", "SPAWN"), f"{error}")
        check(error.errno in (None, "EMFILE", "ENFILE"), f"{error}")
    check(running, "some could be started")
    for process in running:
        kill(connection, process)
        connection.call("process.forget", id=process)
    equal(connection.run(["/bin/echo", "again"]).stdout, b"again\n")


@test(timeout=40)
def without_descriptors_the_agent_neither_spins_nor_forgets_who_waits(case):
    agent = Agent(case, before_exec=few_descriptors)
    connection = agent.connect()
    pid = agent.pid
    links = []
    try:
        for _ in range(15):
            links.append(agent.connect())
    except (OSError, Failure, ConnectionError):
        pass
    try:
        for _ in range(40):
            connection.call("process.start", argv=["/bin/sleep", "100"])
    except RpcError:
        pass
    waiting = [case.thread(lambda: agent.connect(timeout=20)) for _ in range(3)]
    time.sleep(0.2)
    before = cpu_ticks(pid)
    time.sleep(1)
    at_most(cpu_ticks(pid) - before, 20, "ticks of processor time in a second")
    for record in connection.processes():
        kill(connection, record["id"])
        connection.call("process.forget", id=record["id"])
    for link in links:
        link.close()
    for thread in waiting:
        thread.join(20).ping()


def cpu_ticks(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


if __name__ == "__main__":
    main()
