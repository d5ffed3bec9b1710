#!/usr/bin/env python3
"""The agent starts, rests, is stopped and ends."""

import os
import re
import shutil
import signal
import subprocess
import time

from support import proc
from support.agent import Agent, agent_program, launch, needs, program_has
from support.expect import Discard, zeros
from support.tap import at_most, check, equal, main, number_from_environment, scaled, test
from support.wire import STDOUT

MIB = 1 << 20


def kill(connection, process):
    connection.call("process.kill", id=process, signal="KILL")


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
    connection = agent.connect()
    equal(connection.call("info")["mode"], "container")
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


@test()
def the_configured_grace_counts_for_a_signal_too(case):
    config = case.path("agent.json")
    with open(config, "w", encoding="ascii") as file:
        file.write('{"shutdown_grace_ms": 100}')
    agent = Agent(case, arguments=["--config", config])
    connection = agent.connect()
    stubborn = connection.start(["/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"])
    connection.until(lambda: stubborn.channels[STDOUT].bytes == b"ready\n", 5, "ready")
    agent.stop()
    with open(agent.log_path, encoding="utf-8", errors="replace") as log:
        check('msg="shutting down" grace_ms=100' in log.read(), "the supervisor was told")


if __name__ == "__main__":
    main()
