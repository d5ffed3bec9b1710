#!/usr/bin/env python3
"""Slow readers, many processes, dead file systems, signals from all sides, and rest."""

import os
import re
import resource
import shutil
import signal
import statistics
import subprocess
import threading
import time

from support import proc
from support.agent import Agent, agent_program, launch, needs, program_has
from support.expect import Discard, attached, fails, zeros
from support.fuse import DeadFilesystem
from support.tap import Failure, Skip, at_most, check, equal, eventually, main, number_from_environment, scaled, test
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


# Starting against resistance


def slowest_ping(connection, seconds):
    worst, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        worst = max(worst, connection.ping())
        time.sleep(0.002)
    return worst


@test(timeout=40)
def a_storm_of_stop_signals_on_new_children_does_not_touch_the_agent(case):
    """Whatever appears below the supervisor is stopped at once, also between clone and execve."""
    needs(hasattr(os, "pidfd_open") and hasattr(signal, "pidfd_send_signal"), "needs pidfds in Python")
    agent = Agent(case)
    connection = agent.connect()
    pid, done, stopped = agent.pid, threading.Event(), [0]

    def stop_children(number):
        for child in proc.children(agent.supervisor):
            if child == pid:
                continue
            try:
                handle = os.pidfd_open(child)
            except OSError:
                continue
            about = proc.stat(child)
            if about and about[1] == agent.supervisor:  # it still is the child that was listed
                signal.pidfd_send_signal(handle, number)
                stopped[0] += 1
            os.close(handle)

    def storm():
        while not done.is_set():
            stop_children(signal.SIGSTOP)

    thread = case.thread(storm)
    limit = connection.hello["limits"]["spawn_time"] / 1000
    starts = [connection.request("process.start", {"argv": ["/bin/sleep", "100"]}) for _ in range(200)]
    worst = slowest_ping(connection, 1)
    at_most(worst, scaled(0.25), "seconds of the slowest ping")
    outcomes = {}
    for start in starts:
        try:
            start.wait(limit + 3)
            outcomes["started"] = outcomes.get("started", 0) + 1
        except RpcError as error:
            check(error.name in ("SPAWN", "DEADLINE"), f"{error}")
            outcomes[error.name] = outcomes.get(error.name, 0) + 1
    check(stopped[0] > 100, f"the storm hit {stopped[0]} times")
    done.set()
    thread.join()
    stop_children(signal.SIGCONT)
    equal(sum(outcomes.values()), len(starts), f"{outcomes}")
    for record in connection.processes():
        kill(connection, record["id"])
    agent.expect_no_workload()
    equal(connection.run(["/bin/echo", "calm"]).stdout, b"calm\n")


@test(timeout=40, root=True)
def a_directory_on_a_dead_file_system_hangs_nobody(case):
    dead = DeadFilesystem(case)
    try:
        agent = Agent(case, before_exec=dead.mount)
    except subprocess.SubprocessError as error:
        raise Skip(f"no FUSE mount here: {error}") from None
    dead.start()
    connection = agent.connect()
    connection.run(["/bin/true"])
    before = agent.descriptors()
    quiet = statistics.median(exec_times(connection))
    limit = connection.hello["limits"]["spawn_time"] / 1000
    began = time.monotonic()
    starts = [
        connection.request("process.start", {"argv": ["/bin/true"], "cwd": dead.directory + "/sub"}) for _ in range(3)
    ]
    eventually(lambda: dead.requests, 5, "a child hangs in chdir")
    at_most(slowest_ping(connection, 1), scaled(0.1), "seconds of the slowest ping")
    at_most(statistics.median(exec_times(connection)), quiet * 3 + 0.005, "seconds of an exec")
    for start in starts:
        try:
            raise Failure(f"started: {start.wait(limit + 3)}")
        except RpcError as error:
            check(error.name in ("SPAWN", "DEADLINE"), f"{error}")
            if error.name == "SPAWN":
                equal(error.op, "chdir", f"{error}")
    took = time.monotonic() - began
    check(limit * 0.9 <= took <= scaled(limit + 2), f"given up after {took:.1f} s")
    dead.close()
    agent.expect_no_workload()
    agent.expect_descriptors(before)


# Signals to the agent, rest, start and end


@test()
def a_stopped_agent_goes_on_where_it_was(case):
    agent = Agent(case)
    connection = agent.connect()
    sink = Discard()
    stream = connection.start(zeros(64 * MIB), sinks={STDOUT: sink})
    connection.until(lambda: sink.count > MIB, 5, "the flood")
    os.kill(agent.pid, signal.SIGSTOP)
    connection.drain(0.3)
    os.kill(agent.pid, signal.SIGCONT)
    equal(stream.wait()["exit"]["code"], 0)
    equal(sink.count, 64 * MIB)


@test(timeout=40)
def at_rest_nothing_wakes_up(case):
    agent = Agent(case)
    connection = agent.connect()
    stream = connection.start(["/bin/sleep", "100"], stdin="pipe")
    stream.wait_note("process.started")
    connection.run(["/bin/true"])
    time.sleep(0.5)
    pids = (agent.supervisor, agent.pid)
    before = [proc.switches(pid) for pid in pids]
    time.sleep(number_from_environment("NSP_REST_SECONDS", 10))
    equal([proc.switches(pid) for pid in pids], before, "context switches of supervisor and agent")
    connection.ping()


@test(timeout=30)
def no_shared_object_and_no_name_service_is_opened(case):
    needs(not program_has(b"/ld-linux"), "the agent is not linked statically")
    strace = shutil.which("strace")
    needs(strace, "no strace")
    works = subprocess.run([strace, "-f", "-qq", "-o", "/dev/null", "/bin/true"], capture_output=True, check=False)
    needs(works.returncode == 0, "strace cannot attach here")
    trace = case.path("trace")
    wrap = [strace, "-f", "-qq", "-e", "trace=open,openat,openat2", "-o", trace]
    agent = Agent(case, listen=["tcp:127.0.0.1:0"], arguments=["--token-file", case.path("token")], wrap=wrap)
    connection = agent.connect()
    connection.run(["/bin/true"])
    connection.run(["sh", "-c", "exit 3"])
    ours = {agent.supervisor, agent.pid}
    agent.restart_agent()
    ours.add(agent.pid)
    agent.connect().call("info")
    agent.stop()
    with open(trace, encoding="utf-8", errors="replace") as file:
        lines = [line for line in file if int(line.split()[0]) in ours]
    check(lines, "something was traced")
    bad = [line for line in lines if re.search(r"nsswitch|\.so[.\"0-9]|ld\.so|/etc/(passwd|group|hosts|resolv)", line)]
    equal(bad, [])


@test()
def the_program_tells_its_version_and_options(case):
    for option, expected in (("--version", rb"\d+\.\d+\.\d+"), ("--help", rb"--listen")):
        done = subprocess.run([agent_program(), option], capture_output=True, timeout=scaled(5), check=False)
        equal((done.returncode, done.stderr), (0, b""), option)
        check(re.search(expected, done.stdout), f"{option}: {done.stdout!r}")


@test()
def wrong_options_end_with_status_2_and_a_message(case):
    for wrong in (
        ["--no-such-option"],
        ["--listen"],
        ["--listen", "unix:"],
        ["--listen", "carrier-pigeon:1"],
        ["--listen", "tcp:127.0.0.1:notaport", "--token-file", case.path("token")],
        ["--listen", "tcp:127.0.0.1:70000", "--token-file", case.path("token")],
        ["--listen", "vsock:notaport"],
        ["--listen", "unix:" + "x" * 200],
        ["--listen", f"unix:{case.path('sock')}", "--log-level", "loud"],
        ["stray"],
    ):
        began = time.monotonic()
        process = launch(case, [agent_program(), *wrong], stdin=-3, stdout=-1, stderr=-1, cwd=case.directory)
        out, err = process.communicate(timeout=scaled(5))
        equal((process.returncode, out), (2, b""), f"{wrong}: {err}")
        check(err.strip() and err.count(b"\n") <= 3, f"{wrong}: a short message: {err!r}")
        at_most(time.monotonic() - began, scaled(1), "seconds")


@test()
def an_address_that_cannot_be_had_is_an_error_at_the_start(case):
    wrong = ["--listen", f"unix:{case.path('no/such/directory/sock')}"]
    process = launch(case, [agent_program(), *wrong], stdin=-3, stdout=-1, stderr=-1, cwd=case.directory)
    _, err = process.communicate(timeout=scaled(10))
    check(process.returncode not in (0, None), f"status {process.returncode}")
    check(b"no/such/directory" in err, f"names it: {err!r}")


def with_own_pids(case):
    """Arguments that run a program as process 1 of a namespace of its own."""
    unshare = shutil.which("unshare")
    needs(unshare, "no unshare")
    wrap = [unshare, "--mount", "--pid", "--mount-proc", "--fork", "--kill-child"]
    works = subprocess.run([*wrap, "/bin/true"], capture_output=True, check=False)
    needs(works.returncode == 0, f"no namespaces here: {works.stderr.decode().strip()}")
    return wrap


@test(root=True)
def as_process_1_it_serves_reaps_and_recovers(case):
    agent = Agent(case, wrap=with_own_pids(case))
    # reboot(2) in a namespace ends its process 1 by a signal.
    agent.end_statuses = (-signal.SIGINT, -signal.SIGHUP, 128 + signal.SIGINT, 128 + signal.SIGHUP)
    connection = agent.connect()
    equal(connection.call("info")["mode"], "pid1")
    run = connection.run(command="echo $PPID; (sleep 0.1 & ); exit 7")
    equal((run.stdout, run.code), (b"1\n", 7))
    process = connection.call("process.start", argv=["/bin/sleep", "100"])["id"]
    agent.restart_agent()
    connection = agent.connect()
    equal(connection.call("process.get", id=process)["state"], "running")
    kill(connection, process)
    agent.expect_no_workload()
    agent.expect_no_zombies()


@test()
def a_shutdown_gives_the_workload_its_time(case):
    agent = Agent(case)
    connection = agent.connect()
    goodbye = case.path("goodbye")
    script = f"trap 'echo bye >{goodbye}; exit 0' TERM; echo ready; while :; do sleep 0.02; done"
    stream = connection.start(["/bin/sh", "-c", script])
    connection.until(lambda: stream.channels[STDOUT].bytes == b"ready\n", 5, "ready")
    stubborn = connection.start(["/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"])
    connection.until(lambda: stubborn.channels[STDOUT].bytes == b"ready\n", 5, "ready")
    agent.stop()
    with open(goodbye, encoding="ascii") as file:
        equal(file.read(), "bye\n")
    check(not os.path.exists(agent.socket_path), "the socket is gone")


if __name__ == "__main__":
    main()
