#!/usr/bin/env python3
"""The logs of agent, supervisor and kernel: what outlives the agent, and following them."""

import json
import os
import signal
import subprocess

from support import proc
from support.agent import Agent, launch, needs, nsctl_program
from support.expect import fails
from support.tap import Failure, at_most, check, equal, eventually, main, scaled, test


def texts(answer):
    return [line["text"] for line in answer["lines"]]


def has(answer, *words):
    """A line has all these words."""
    return any(all(word in text for word in words) for text in texts(answer))


def nsctl(agent, *arguments, timeout=20):
    return subprocess.run(
        [nsctl_program(), "-c", agent.address, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=scaled(timeout),
        check=False,
    )


@test()
def the_end_of_an_agent_is_read_through_the_next(case):
    agent = Agent(case)
    with agent.connect() as connection:
        connection.call("ping")
    pid = agent.pid
    agent.restart_agent()
    connection = agent.connect()
    supervisor = connection.call("log.tail", source="supervisor")
    check(has(supervisor, '"agent ended"', f"pid={pid}", "signal=9"), f"{texts(supervisor)}")
    check(has(supervisor, '"agent started"', f"pid={agent.pid}"), f"{texts(supervisor)}")
    dead = connection.call("log.tail", source="agent")
    check(has(dead, '"ready"', f"pid={pid}"), f"the dead agent's lines: {texts(dead)}")
    check(has(dead, '"ready"', f"pid={agent.pid}"), f"the new agent's lines: {texts(dead)}")
    sequences = [line["seq"] for line in dead["lines"]]
    equal(sequences, list(range(sequences[0], sequences[0] + len(sequences))), "without holes")


@test()
def lines_of_all_are_merged_by_time(case):
    agent = Agent(case)
    agent.restart_agent()
    lines = agent.connect().call("log.tail", source="all")["lines"]
    equal({line["source"] for line in lines}, {"agent", "supervisor"})
    times = [line["time_ms"] for line in lines]
    equal(times, sorted(times), "in the order of time")
    order = [line["text"].split('"')[1] for line in lines]
    check(order.index("agent started") < order.index("ready") < order.index("agent ended"), f"{order}")


@test(timeout=30)
def no_line_is_lost_when_agents_die_at_any_moment(case):
    agent = Agent(case, arguments=["--log-level", "debug"])
    place = 1
    for number in range(5):
        agent.kill_agent()
        with agent.connect() as connection:
            for _ in range(10 * number):
                connection.call("ping")
            answer = connection.call("log.tail", source="agent", agent_from=place, lines=4000)
        equal(answer["lost"], 0)
        sequences = [line["seq"] for line in answer["lines"]]
        equal(sequences, list(range(place, place + len(sequences))))
        place = answer["next"]["agent"]


@test()
def levels_are_filtered(case):
    agent = Agent(case, arguments=["--log-level", "debug"])
    connection = agent.connect()
    connection.call("ping")
    levels = {"debug": 0, "info": 1, "warn": 2, "error": 3}
    for level, number in levels.items():
        lines = connection.call("log.tail", source="agent", level=level, lines=1000)["lines"]
        check(all(levels[line["level"]] >= number for line in lines), f"{level}: {lines}")
    check(has(connection.call("log.tail", level="debug"), '"call ended"', "method=ping"), "debug lines")
    check(not has(connection.call("log.tail", level="info", lines=1000), '"call ended"'), "no debug lines")


@test(timeout=40)
def overwritten_lines_are_counted(case):
    agent = Agent(case, arguments=["--log-level", "debug"])
    connection = agent.connect()
    for _ in range(30):
        pending = [connection.request("ping") for _ in range(100)]
        for stream in pending:
            stream.wait()
    answer = connection.call("log.tail", source="agent", agent_from=1, lines=1)
    check(answer["lost"] > 100, f"lost: {answer['lost']}")
    equal(answer["lines"][0]["seq"], answer["lost"] + 1)
    equal(answer["next"]["agent"], answer["lost"] + 2)


@test()
def a_follower_gets_each_line_once_until_it_cancels(case):
    agent = Agent(case)
    connection = agent.connect()
    stream = connection.request("log.tail", {"follow": True, "lines": 0})
    equal(stream.wait_note("log.lines")["lines"], [])
    for _ in range(3):
        agent.connect().close()
    seen = []

    def closed():
        seen[:] = [line for _, note in stream.notes for line in note["lines"]]
        return sum('"connection closed"' in line["text"] for line in seen) >= 3

    connection.until(closed, 5, "three lines of closed connections")
    sequences = [line["seq"] for line in seen if line["source"] == "agent"]
    equal(sequences, list(range(sequences[0], sequences[0] + len(sequences))))
    stream.cancel()
    fails(stream.wait, "CANCELLED")
    connection.call("ping")


@test()
def text_mode_follows_too(case):
    agent = Agent(case)
    connection = agent.connect_text()
    connection.call("hello")
    connection.send("log.tail", {"follow": True, "lines": 1}, id="f")
    message = connection.receive()
    equal(message["method"], "log.lines")
    equal(message["params"]["id"], "f")
    check(message["params"]["lines"], "a line")


@test(timeout=30)
def whoever_follows_costs_no_wake_up(case):
    agent = Agent(case)
    connection = agent.connect()
    streams = [connection.request("log.tail", {"follow": True, "lines": 1, "source": s}) for s in ("all", "agent")]
    for stream in streams:
        stream.wait_note("log.lines")
    connection.drain(0.5)
    before = [proc.switches(pid) for pid in (agent.supervisor, agent.pid)]
    connection.drain(3)
    equal([proc.switches(pid) for pid in (agent.supervisor, agent.pid)], before, "context switches")


@test(timeout=40)
def a_follower_that_does_not_read_delays_nobody(case):
    agent = Agent(case, arguments=["--log-level", "debug"])
    slow, quick = agent.connect(), agent.connect()
    stream = slow.request("log.tail", {"follow": True, "lines": 0})
    stream.wait_note("log.lines")
    memory = agent.memory_kib()
    for _ in range(60):
        for pending in [quick.request("ping") for _ in range(100)]:
            pending.wait()
    at_most(agent.memory_kib() - memory, 2048, "KiB more")
    slow.until(lambda: stream.notes[-1][1]["lost"] > 0, 10, "it is told what it missed")
    slow.call("ping")


@test()
def the_kernels_log_is_served_or_refused_by_name(case):
    connection = Agent(case).connect()
    try:
        with open("/dev/kmsg", "rb"):
            pass
    except OSError:
        needs(False, "/dev/kmsg cannot be read here")
    answer = connection.call("log.tail", source="kernel", lines=5)
    equal(len(answer["lines"]), 5)
    equal(answer["next"]["kernel"], answer["lines"][-1]["seq"] + 1)
    stream = connection.request("log.tail", {"source": "kernel", "follow": True, "lines": 2})
    equal(len(stream.wait_note("log.lines")["lines"]), 2)


@test()
def the_workload_does_not_inherit_the_logs(case):
    connection = Agent(case).connect()
    run = connection.run(["/bin/sh", "-c", "ls -l /proc/self/fd"])
    check(b"memfd" not in run.stdout, f"{run.stdout}")


@test()
def nsctl_prints_logs(case):
    agent = Agent(case)
    agent.restart_agent()
    done = nsctl(agent, "logs", "--supervisor")
    equal((done.returncode, done.stderr), (0, b""))
    check(any(b"agent ended" in l and b"signal=9" in l for l in done.stdout.splitlines()), f"{done.stdout}")
    done = nsctl(agent, "logs", "--all", "-n", 3, "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    equal(len(lines), 3)
    check(all(set(line) == {"seq", "time_ms", "level", "source", "text"} for line in lines), f"{lines}")
    equal(nsctl(agent, "logs", "--agent", "--level", "error").stdout, b"")


@test()
def nsctl_refuses_what_contradicts_itself(case):
    agent = Agent(case)
    for words in ("", "--agent --kernel", "--agent an-id", "-n 1 an-id", "--agent --from 1", "--all -n 5000"):
        arguments = words.split()
        done = nsctl(agent, "logs", *arguments)
        equal((done.returncode, done.stdout), (125, b""), f"{arguments}")
        check(done.stderr.startswith(b"nsctl: "), f"{arguments}: {done.stderr}")


@test()
def nsctl_ends_when_nobody_reads_its_output(case):
    agent = Agent(case)
    for arguments in (["logs", "--all"], ["logs", "--all", "-f"]):
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(
            [nsctl_program(), "-c", agent.address, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=writer,
            stderr=subprocess.PIPE,
            timeout=scaled(10),
            check=False,
        )
        os.close(writer)
        equal((done.returncode, done.stderr), (141, b""), f"{arguments}")


@test(timeout=30)
def nsctl_follows_over_the_end_of_an_agent(case):
    agent = Agent(case)
    out = case.path("out")
    with open(out, "wb") as file:
        follower = launch(
            case,
            [nsctl_program(), "-c", agent.address, "logs", "--all", "--json", "-f", "-n", "1"],
            stdin=subprocess.DEVNULL,
            stdout=file,
        )

    def lines():
        with open(out, "rb") as file:
            return [json.loads(line) for line in file.read().splitlines(True) if line.endswith(b"\n")]

    eventually(lines, 5, "the first line")
    pid = agent.kill_agent()
    eventually(lambda: any(f"pid={agent.pid}" in l["text"] and "ready" in l["text"] for l in lines()), 10, "the next")
    check(any(f"pid={pid} signal=9" in line["text"] for line in lines()), f"{lines()}")
    for source in ("agent", "supervisor"):
        sequences = [line["seq"] for line in lines() if line["source"] == source]
        equal(sequences, list(range(sequences[0], sequences[0] + len(sequences))), f"{source}: each line once")
    if follower.poll() is not None:
        raise Failure(f"nsctl ended with {follower.returncode}")
    follower.send_signal(signal.SIGTERM)
    equal(follower.wait(scaled(5)), -signal.SIGTERM)


if __name__ == "__main__":
    main()
