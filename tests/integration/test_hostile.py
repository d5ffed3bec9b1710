#!/usr/bin/env python3
"""Children that cannot start, and that somebody stops from outside, hold up nobody."""

import os
import signal
import statistics
import subprocess
import threading
import time

from support import proc
from support.agent import Agent, needs
from support.fuse import DeadFilesystem
from support.tap import Failure, Skip, at_most, check, equal, eventually, main, scaled, test
from support.wire import RpcError


def kill(connection, process):
    connection.call("process.kill", id=process, signal="KILL")


def exec_times(connection, count=40):
    times = []
    for _ in range(count):
        began = time.monotonic()
        connection.run(["/bin/true"])
        times.append(time.monotonic() - began)
    return times


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
    at_most(worst, scaled(2), "seconds of the slowest ping")
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


if __name__ == "__main__":
    main()
