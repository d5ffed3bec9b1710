#!/usr/bin/env python3
"""Services of the configuration file: order, restarts, requests, and the death of the agent."""

import json
import os
import signal
import subprocess
import time

from support import proc
from support.agent import Agent, nsctl_program, reap_leftovers
from support.expect import fails
from support.tap import check, equal, eventually, main, scaled, test


def configured(case, *services, **members):
    """An agent whose configuration has these services; their log is the file "log"."""
    path = case.path("agent.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump({**members, "services": services}, file)
    return Agent(case, arguments=["--config", path, "--workspace", case.directory])


def service(name, command, **members):
    return {"name": name, "command": command, **members}


def log(case):
    try:
        with open(case.path("log"), encoding="utf-8") as file:
            return file.read().split()
    except FileNotFoundError:
        return []


def status(connection, name):
    return next(s for s in connection.call("service.list")["services"] if s["name"] == name)


def reaches(connection, name, state, seconds=5):
    def reached():
        now = status(connection, name)
        return now if now["state"] == state else None

    return eventually(reached, seconds, lambda: f"{name} is {state}: {status(connection, name)}")


def nsctl(agent, *arguments):
    return subprocess.run(
        [nsctl_program(), "-c", agent.address, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=scaled(20),
        check=False,
        text=True,
    )


# Order


@test()
def services_start_in_order_and_wait_for_those_with_wait(case):
    agent = configured(
        case,
        service("prepare", "sleep 0.3; echo prepare >>log", wait=True),
        service("server", "echo server >>log; exec sleep 60"),
        service("client", "until grep -q server log; do sleep 0.01; done; echo client >>log"),
    )
    connection = agent.connect()
    equal([s["name"] for s in connection.call("service.list")["services"]], ["prepare", "server", "client"])
    reaches(connection, "client", "ended")
    equal(log(case), ["prepare", "server", "client"])
    now = status(connection, "server")
    equal((now["state"], now["process"], now["exit"], now["failure"]), ("running", "service.server", None, None))
    process = connection.call("process.get", id="service.server")
    equal((process["state"], process["pid"]), ("running", now["pid"]))


@test()
def calls_are_answered_while_a_service_holds_up_the_next(case):
    agent = configured(case, service("slow", "sleep 60", wait=True), service("next", "true"))
    connection = agent.connect()
    reaches(connection, "slow", "running")
    equal(status(connection, "next")["state"], "waiting")
    connection.call("ping")
    connection.call("service.stop", name="slow")
    reaches(connection, "next", "ended")


@test()
def environment_and_directory_are_its_own(case):
    os.mkdir(case.path("below"))
    agent = configured(
        case,
        service("one", "echo $FIRST $SECOND $PWD >../log", environment={"SECOND": "b"}, cwd=case.path("below")),
        environment={"FIRST": "a", "SECOND": "x"},
    )
    reaches(agent.connect(), "one", "ended")
    equal(log(case), ["a", "b", case.path("below")])


# Restarts


@test()
def a_failure_is_started_again_later_and_later(case):
    agent = configured(
        case,
        service(
            "one",
            "date +%s%N >>log; exit 7",
            restart="on-failure",
            restart_delay_ms=100,
            restart_max=3,
        ),
    )
    connection = agent.connect()
    now = reaches(connection, "one", "failed")
    equal((now["starts"], now["restarts"], now["exit"]["code"]), (4, 3, 7))
    times = [int(word) / 1e6 for word in log(case)]
    gaps = [later - earlier for earlier, later in zip(times, times[1:])]
    check(gaps[0] >= 100 and gaps[1] >= 200 and gaps[2] >= 400, f"milliseconds between: {gaps}")
    lines = connection.call("log.tail", source="agent", level="warn")["lines"]
    ends = [line for line in lines if '"service ended" name=one code=7' in line["text"]]
    equal(len(ends), 4, "each early exit is in the log as a warning")


@test()
def a_signal_is_a_failure_and_success_is_none(case):
    agent = configured(
        case,
        service("one", "echo x >>log; [ $(wc -l <log) = 2 ] || kill -9 $$", restart="on-failure", restart_delay_ms=1),
    )
    connection = agent.connect()
    reaches(connection, "one", "ended")
    equal(log(case), ["x", "x"])
    equal(status(connection, "one")["exit"]["code"], 0)


@test()
def one_that_is_not_there_is_reported_and_the_others_run(case):
    agent = configured(
        case,
        {"name": "bad", "argv": ["/nowhere/program"]},
        service("good", "exec sleep 60"),
    )
    connection = agent.connect()
    reaches(connection, "good", "running")
    bad = reaches(connection, "bad", "failed")
    check("execve" in bad["failure"], bad["failure"])
    equal((bad["exit"], bad["pid"]), (None, None))
    shown = nsctl(agent, "services")
    equal((shown.returncode, shown.stderr), (0, ""))
    lines = [line.split() for line in shown.stdout.splitlines()]
    equal(lines[0], ["NAME", "STATE", "PID", "RESTARTS", "END"])
    equal(lines[1][:4], ["bad", "failed", "0", "0"])
    equal(lines[2][:2] + lines[2][3:], ["good", "running", "0", "-"])


# Requests


@test()
def start_stop_and_restart_by_name(case):
    agent = configured(case, service("one", "echo $$ >>log; exec sleep 60", restart="always"))
    connection = agent.connect()
    first = reaches(connection, "one", "running")["pid"]
    equal(nsctl(agent, "service", "restart", "one").returncode, 0)
    eventually(lambda: status(connection, "one")["starts"] == 2, 5, "it has been started again")
    reaches(connection, "one", "running")
    check(not proc.is_running(first), "the first one has ended")
    done = nsctl(agent, "--json", "service", "stop", "one")
    equal((done.returncode, json.loads(done.stdout)["state"]), (0, "stopping"))
    equal(status(connection, "one")["state"], "stopped", "nsctl has waited for it")
    agent.expect_no_workload()
    time.sleep(0.1)
    equal(status(connection, "one")["state"], "stopped")
    equal(nsctl(agent, "service", "start", "one").returncode, 0)
    reaches(connection, "one", "running")
    eventually(lambda: len(log(case)) == 3, 5, "it has been started three times")


@test()
def wrong_requests_have_their_errors(case):
    agent = configured(case, service("one", "exec sleep 60"))
    connection = agent.connect()
    for method in ("service.start", "service.stop", "service.restart"):
        fails(lambda: connection.call(method, name="none"), "NOT_FOUND", object="none")
        fails(lambda: connection.call(method), "INVALID_PARAMS", object="name")
    fails(lambda: connection.call("service.stop", name="one", grace_ms=-1), "INVALID_PARAMS", object="grace_ms")
    done = nsctl(agent, "service", "pause", "one")
    equal(done.returncode, 125)
    check("start, stop or restart" in done.stderr, done.stderr)
    done = nsctl(agent, "service", "stop", "none")
    equal(done.returncode, 125)
    check("no service of this name" in done.stderr, done.stderr)


@test()
def without_services_there_are_none(case):
    agent = Agent(case)
    equal(agent.connect().call("service.list"), {"services": []})


# The death of the agent


@test(timeout=60)
def an_agent_that_dies_starts_nothing_twice(case):
    agent = configured(
        case,
        service("first", "echo first >>log; sleep 0.4", wait=True),
        service("second", "echo second >>log; exec sleep 60"),
        service("third", "echo third >>log; exec sleep 60", restart="always"),
    )
    for _ in range(5):
        agent.restart_agent()
        time.sleep(0.05)
    connection = agent.connect()
    reaches(connection, "third", "running", 10)
    eventually(lambda: len(log(case)) >= 3, 5, lambda: f"all have written: {log(case)}")
    agent.disconnect()
    pids = {name: status(agent.connect(), name)["pid"] for name in ("second", "third")}
    agent.disconnect()
    agent.restart_agent()
    connection = agent.connect()
    equal({name: reaches(connection, name, "running")["pid"] for name in pids}, pids)
    time.sleep(0.1)
    equal(sorted(log(case)), ["first", "second", "third"])
    equal(len(agent.workload()), 2)


@test(timeout=30)
def the_next_agent_goes_on_with_the_restarts(case):
    agent = configured(
        case,
        service("one", "echo x >>log; exit 1", restart="on-failure", restart_delay_ms=300, restart_max=2),
    )
    with agent.connect() as connection:
        reaches(connection, "one", "backoff")
    agent.restart_agent()
    with agent.connect() as connection:
        now = status(connection, "one")
        equal(now["exit"]["code"], 1)
    agent.restart_agent()
    connection = agent.connect()
    now = reaches(connection, "one", "failed", 10)
    equal((now["starts"], now["restarts"]), (3, 2))
    equal(log(case), ["x", "x", "x"])


@test(timeout=30)
def an_exit_while_there_is_no_agent_is_noticed(case):
    agent = configured(case, service("one", "echo x >>log; exec sleep 60", restart="on-failure", restart_delay_ms=1))
    with agent.connect() as connection:
        pid = reaches(connection, "one", "running")["pid"]
        eventually(lambda: log(case) == ["x"], 5, "it has written")
    os.kill(agent.pid, signal.SIGSTOP)
    os.kill(pid, signal.SIGKILL)
    agent.restart_agent()
    connection = agent.connect()
    eventually(lambda: log(case) == ["x", "x"], 5, lambda: f"it runs again: {log(case)}")
    now = reaches(connection, "one", "running")
    equal((now["restarts"], now["exit"]["signal_name"]), (1, "SIGKILL"))


# The end


@test()
def a_shutdown_starts_nothing_again(case):
    agent = configured(
        case,
        service("one", "echo x >>log; exec sleep 60", restart="on-failure", restart_delay_ms=1, wait=True),
        service("next", "echo next >>log"),
    )
    reaches(agent.connect(), "one", "running")
    eventually(lambda: log(case) == ["x"], 5, "it has written")
    agent.stop()
    equal(log(case), ["x"])


@test()
def the_end_of_the_main_service_ends_the_agent(case):
    agent = configured(
        case,
        service("main", "sleep 0.2; exit 1", restart="on-failure", restart_delay_ms=1, restart_max=1, on_exit="poweroff"),
        service("other", "exec sleep 60"),
    )
    equal(agent.process.wait(scaled(10)), 0)
    agent.stopped = True
    equal(reap_leftovers(), [], "left behind")


if __name__ == "__main__":
    main()
