#!/usr/bin/env python3
"""Process 1 and the end of everything, in namespaces: what must not stop, hurry or mislead it."""

import os
import pty
import shutil
import signal
import subprocess
import sys
import time

from support import proc
from support.agent import Agent, agent_program, launch, needs
from support.tap import check, equal, eventually, main, scaled, test


def own_pids(*options):
    """Arguments that run a program as process 1 of a namespace of its own."""
    unshare = shutil.which("unshare")
    needs(unshare, "no unshare")
    wrap = [unshare, "--mount", "--pid", "--mount-proc", "--fork", "--kill-child", *options]
    works = subprocess.run([*wrap, "/bin/true"], capture_output=True, check=False)
    needs(works.returncode == 0, f"no namespaces here: {works.stderr.decode().strip()}")
    return wrap


def wait_end(agent, seconds=15):
    """Waits for the end that has been asked for; how long that took."""
    begun = time.monotonic()
    equal(agent.process.wait(timeout=scaled(seconds)), 0)
    agent.disconnect()
    agent.stopped = True
    return time.monotonic() - begun


def end(agent):
    os.kill(agent.supervisor, signal.SIGTERM)
    return wait_end(agent)


@test()
def a_terminal_that_nobody_reads_holds_up_nobody(case):
    master, terminal = pty.openpty()
    case.defer(lambda: os.close(master))
    command = [agent_program(), "--listen", f"unix:{case.path('agent.sock')}"]
    process = launch(case, command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=terminal)
    os.close(terminal)
    eventually(lambda: os.path.exists(case.path("agent.sock")), 10, "it listens")
    for _ in range(3000):  # more lines than any terminal keeps
        process.send_signal(signal.SIGUSR1)
        time.sleep(0.0005)
    process.terminate()
    equal(process.wait(timeout=scaled(15)), 0)


@test(root=True)
def a_proc_of_other_processes_does_not_count_as_ours(case):
    wrap = [word for word in own_pids() if word != "--mount-proc"]
    process = launch(case, [*wrap, agent_program(), "--listen", f"unix:{case.path('s')}"], stderr=subprocess.PIPE)
    eventually(lambda: os.path.exists(case.path("s")), 10, "it listens")
    first = eventually(lambda: next(iter(proc.children(process.pid)), None), 5, "process 1 is there")
    begun = time.monotonic()
    os.kill(first, signal.SIGTERM)
    process.wait(timeout=scaled(15))
    check(time.monotonic() - begun < scaled(3), f"nobody was waited for: {time.monotonic() - begun:.1f} s")


@test(root=True)
def a_shutdown_asked_for_twice_keeps_its_grace(case):
    agent = Agent(case, wrap=own_pids())
    connection = agent.connect()
    path = case.path("done")
    ready = case.path("ready")
    script = f"trap 'sleep 1; echo in order > {path}; exit 0' TERM; : > {ready}; while :; do sleep 0.1; done"
    connection.call("process.start", argv=["/bin/sh", "-c", script])
    eventually(lambda: os.path.exists(ready), 5, "it has its trap")
    asked = agent.pid
    os.kill(asked, signal.SIGSTOP)  # so that it finds all three at once
    for _ in range(3):
        connection.request("guest.shutdown", {})
    connection.drain(0.1)
    os.kill(asked, signal.SIGCONT)
    wait_end(agent)
    check(os.path.exists(path), "the process had its time")


@test(root=True)
def a_hung_agent_does_not_hold_up_the_end(case):
    agent = Agent(case, wrap=own_pids())
    agent.connect().call("process.start", argv=["/bin/sleep", "100"])
    os.kill(agent.pid, signal.SIGSTOP)
    took = end(agent)
    check(took < scaled(8), f"it took {took:.1f} s")


@test(root=True)
def processes_that_start_others_without_end_are_ended(case):
    agent = Agent(case, arguments=["--shutdown-grace", "500"], wrap=own_pids())
    script = """import os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    if os.fork():
        os._exit(0)
"""
    for _ in range(3):
        agent.connect().call("process.start", argv=[sys.executable, "-c", script])
    time.sleep(0.3)
    took = end(agent)
    check(took < scaled(5), f"it took {took:.1f} s")


if __name__ == "__main__":
    main()
