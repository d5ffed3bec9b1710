#!/usr/bin/env python3
"""PID 1 of a guest, in namespaces: its steps, its orphans, its end, and agents that die or never start.

What needs a kernel of its own is in tests/vm.
"""

import json
import os
import random
import signal
import time

from support import proc, wire
from support.agent import agent_program, launch
from support.isolated import LISTEN, IsolatedGuest
from support.tap import at_most, check, equal, eventually, main, scaled, test
from support.wire import STDOUT

POWERED_OFF, RESTARTED = -signal.SIGINT, -signal.SIGHUP
HOPELESS = f"{LISTEN} ns.token_file=/nonexistent/token"
# Ends at TERM with last words; ends at TERM; does not end.
GENTLE = "trap 'echo bye; exit 0' TERM; echo on; while :; do sleep 0.05; done"
DEAF = "trap '' TERM; echo on; while :; do sleep 0.05; done"


def shell(connection, script, **options):
    return connection.start(["/bin/sh", "-c", script], **options)


def deaf(connection):
    stream = shell(connection, DEAF)
    connection.until(lambda: stream.channels[STDOUT].bytes == b"on\n", 10, "it does not hear TERM")
    return stream


def steps(connection, by):
    return [step for step in connection.call("guest.boot")["steps"] if step["by"] == by]


def expect_goodbye(guest, connection):
    equal(connection.wait_lost(10)["data"]["name"], "SHUTTING_DOWN")
    guest.disconnect()


# Coming up


@test(timeout=30, root=True)
def each_step_is_taken_once_and_in_order(case):
    guest = IsolatedGuest(
        case,
        config={
            "hostname": "guest-7",
            "mounts": [{"source": "data", "target": "/data", "type": "tmpfs"}],
            "sysctl": {"kernel.panic": "7"},
            "services": [{"name": "one", "command": "echo one >>/run/log; exec sleep 1000"}],
        },
    )
    connection = guest.settled()
    # /proc and /sys are there before it, and /proc/sys is read-only.
    states = {step["name"]: step["state"] for step in steps(connection, "supervisor")}
    check(states.pop("drivers") in ("done", "skipped"), "a kernel has modules or not")
    expected = "proc skipped sys skipped dev done console done cmdline done run done root skipped pts done links done"
    equal(" ".join(word for pair in states.items() for word in pair), f"{expected} cgroup done options done")
    states = {step["name"]: step["state"] for step in steps(connection, "agent")}
    expected = "config done announce skipped mounts done modules skipped nodes done sysctl failed identity done"
    expected += " network done volumes done grow skipped services done service.one done"
    equal(" ".join(word for pair in states.items() for word in pair), expected)
    equal(connection.call("guest.boot")["failed"], 1)
    targets = [target for target, _ in guest.mounts()]
    for target in ("/run", "/dev/pts", "/dev/shm", "/sys/fs/cgroup", "/data"):
        equal(targets.count(target), 1, target)
    equal(guest.read("etc/hostname"), "guest-7\n")
    eventually(lambda: guest.read("run/log") == "one\n", 5, "the service runs")
    group = shell(connection, "cat /proc/self/cgroup; cat /proc/1/cgroup; hostname")
    group.wait()
    lines = [line for line in group.channels[STDOUT].bytes.decode().split() if line[0] in "0g"]
    equal(lines, ["0::/work", "0::/agent", "guest-7"])


@test(timeout=20, root=True)
def wrong_options_are_told_and_keep_nothing_from_coming_up(case):
    guest = IsolatedGuest(
        case,
        cmdline=f"{LISTEN} ns.bogus=1 ns.shutdown_grace=soon ns.version quiet",
        arguments=("--role=guest", "--nonsense"),
        config={"hostname": 7},
        shell=False,
    )
    connection = guest.settled()
    equal(connection.call("info")["mode"], "guest")
    failed = {s["name"]: s for s in connection.call("guest.boot")["steps"] if s["state"] == "failed"}
    equal(sorted(failed), ["config", "options"])
    for step, words in (("options", ("--nonsense", "bogus", "shutdown-grace", "version")), ("config", ("hostname",))):
        equal(failed[step]["error"], "INVALID_PARAMS", step)
        for word in words:
            check(word in failed[step]["detail"], f"{word} is named: {failed[step]}")


def waiting(guest):
    """How many read from the gate, and so end when nobody has its other end."""
    return sum(proc.descriptors(pid).get(0, "").endswith("/tmp/gate") for pid in guest.workload())


@test(timeout=60, root=True)
def a_thousand_orphans_are_reaped_at_once(case):
    guest = IsolatedGuest(case)
    connection = guest.settled()
    count = 1000
    keeper = shell(connection, "mkfifo /tmp/gate; exec 3<>/tmp/gate; echo on; exec sleep 1000", id="keeper")
    connection.until(lambda: keeper.channels[STDOUT].bytes == b"on\n", 10, "the gate is there")
    forks = f"i=0; while [ $i -lt {count} ]; do (read x </tmp/gate) & i=$((i + 1)); done"
    equal(shell(connection, f"exec >/dev/null 2>&1; {forks}").wait(30)["exit"]["code"], 0)
    eventually(lambda: waiting(guest) == count, 30, lambda: f"orphans at the gate: {waiting(guest)}")
    began = time.monotonic()
    connection.call("process.kill", id="keeper", signal="KILL")
    eventually(lambda: not guest.workload(), 15, lambda: f"children of PID 1: {len(guest.workload())}")
    at_most(connection.ping(), scaled(1), "seconds of a ping")
    at_most(time.monotonic() - began, scaled(10), "seconds until all are gone")
    guest.signal(signal.SIGUSR1)
    guest.wait_log(f"orphans={count}")
    equal(connection.call("info")["generation"], 1)


# Going down


@test(timeout=60, root=True)
def each_way_to_end_reaches_its_reboot_command(case):
    def call(action):
        return lambda guest, connection: connection.call("guest.shutdown", action=action)

    def kill(number):
        return lambda guest, connection: guest.signal(number)

    for about, ask, cmdline, status, action in (
        ("SIGTERM", kill(signal.SIGTERM), "", POWERED_OFF, "poweroff"),
        ("SIGPWR", kill(signal.SIGPWR), "", POWERED_OFF, "poweroff"),
        ("SIGINT", kill(signal.SIGINT), "", RESTARTED, "reboot"),
        ("SIGTERM where a reset ends the machine", kill(15), "ns.power_off=reboot", RESTARTED, "poweroff"),
        ("poweroff", call("poweroff"), "", POWERED_OFF, "poweroff"),
        ("reboot", call("reboot"), "", RESTARTED, "reboot"),
        ("halt", call("halt"), "ns.power_off=reboot", POWERED_OFF, "halt"),
    ):
        guest = IsolatedGuest(case, cmdline=f"{LISTEN} {cmdline}", shell=False)
        connection = guest.connect()
        ask(guest, connection)
        expect_goodbye(guest, connection)
        equal(guest.wait_end(), status, about)
        check(f'msg="leaving" action={action}' in guest.log(), about)
        guest.stop()


@test(timeout=30, root=True)
def clients_see_every_end_and_then_goodbye(case):
    guest = IsolatedGuest(case, cmdline=f"{LISTEN} ns.shutdown_grace=600")
    connection = guest.settled()
    gentle = shell(connection, GENTLE)
    plain = connection.start(["/bin/sleep", "1000"])
    plain.wait_note("process.started")
    stubborn = deaf(connection)
    connection.until(lambda: gentle.channels[STDOUT].bytes == b"on\n", 10, "it is on")
    began = time.monotonic()
    guest.signal(signal.SIGTERM)
    expect_goodbye(guest, connection)
    took = time.monotonic() - began
    ends = [stream.result()["exit"] for stream in (gentle, plain, stubborn)]
    equal([end.get("code") for end in ends], [0, None, None])
    equal([end.get("signal") for end in ends], [None, signal.SIGTERM, signal.SIGKILL])
    equal(gentle.channels[STDOUT].bytes, b"on\nbye\n", "the last words")
    check(0.6 <= took <= scaled(4), f"the grace, and little more: {took}")
    equal(guest.wait_end(), POWERED_OFF)


@test(timeout=30, root=True)
def the_grace_of_a_request_counts_instead(case):
    guest = IsolatedGuest(case, cmdline=f"{LISTEN} ns.shutdown_grace=60000")
    connection = guest.settled()
    stubborn = deaf(connection)
    connection.call("guest.shutdown", action="reboot", grace_ms=200)
    late = connection.request("process.start", {"argv": ["true"]})
    expect_goodbye(guest, connection)
    equal(stubborn.result()["exit"].get("signal"), signal.SIGKILL)
    equal(late.message["error"]["data"]["name"], "SHUTTING_DOWN")
    equal(guest.wait_end(), RESTARTED)


@test(timeout=30, root=True)
def the_grace_of_the_configuration_counts_for_a_signal_too(case):
    guest = IsolatedGuest(case, config={"shutdown_grace_ms": 300})
    connection = guest.settled()
    stubborn = deaf(connection)
    began = time.monotonic()
    guest.signal(signal.SIGPWR)
    expect_goodbye(guest, connection)
    took = time.monotonic() - began
    check(0.3 <= took <= scaled(3), f"the grace, and little more: {took}")
    equal(stubborn.result()["exit"].get("signal"), signal.SIGKILL)
    equal(guest.wait_end(), POWERED_OFF)


@test(timeout=30, root=True)
def a_second_signal_shortens_the_grace_but_not_the_goodbye(case):
    guest = IsolatedGuest(case, cmdline=f"{LISTEN} ns.shutdown_grace=60000")
    connection = guest.settled()
    stubborn = deaf(connection)
    guest.signal(signal.SIGINT)
    guest.wait_log('role=supervisor msg="shutting down"')
    connection.drain(0.3)
    check(not stubborn.done and proc.is_running(guest.pid), "it has its grace")
    guest.signal(signal.SIGTERM)
    expect_goodbye(guest, connection)
    equal(stubborn.result()["exit"].get("signal"), signal.SIGKILL)
    equal(guest.wait_end(5), RESTARTED, "what was asked for first")


@test(timeout=60, root=True)
def an_end_asked_for_while_the_agent_starts_comes_as_well(case):
    choice = random.Random(3)
    for _ in range(10):
        guest = IsolatedGuest(case, shell=False)
        eventually(guest.find_agent, 5, "the agent is there")
        time.sleep(choice.random() ** 2 * 0.01)
        began = time.monotonic()
        guest.signal(signal.SIGINT)
        equal(guest.wait_end(), RESTARTED)
        at_most(time.monotonic() - began, scaled(2.5), "seconds until the end")
        guest.stop()


@test(timeout=60, root=True)
def services_on_their_way_up_do_not_outlive_the_end(case):
    """The supervisor ends what there is, and meanwhile the agent must not start anything in its place."""
    services = [{"name": f"s{i}", "command": "exit 1", "restart": "always", "restart_delay_ms": 1} for i in range(4)]
    choice = random.Random(7)
    for _ in range(10):
        guest = IsolatedGuest(case, cmdline=f"{LISTEN} ns.log_level=debug", config={"services": services})
        guest.wait_listening()
        time.sleep(choice.random() * 0.2)
        began = time.monotonic()
        guest.signal(signal.SIGTERM)
        equal(guest.wait_end(), POWERED_OFF)
        at_most(time.monotonic() - began, scaled(2), "seconds until the end")
        after = guest.log().partition('role=agent msg="shutting down"')[2]
        check(after, "the agent has heard of it")
        check("new=starting" not in after, "no service is started")
        check("cannot be killed" not in after, "nothing is left")
        guest.stop()


# Agents that die


def killed_soon(guest, delay):
    """Kills the agent so many seconds after it has begun to listen, which is before its steps."""
    agent = eventually(guest.find_agent, 5, "the agent is there")
    end = time.monotonic() + scaled(5)
    while not os.path.exists(guest.path("run/agent.sock")) and time.monotonic() < end:
        time.sleep(0.0002)
    time.sleep(delay)
    os.kill(agent, signal.SIGKILL)
    return agent


@test(timeout=120, root=True)
def an_agent_killed_while_it_boots_repeats_nothing(case):
    config = {
        "hostname": "guest-7",
        "mounts": [{"source": "data", "target": "/data", "type": "tmpfs"}],
        "services": [{"name": name, "command": f"echo {name} >>/tmp/log; exec sleep 1000"} for name in "abcd"],
    }
    choice = random.Random(11)
    for attempt in range(30):
        guest = IsolatedGuest(case, config=config)
        agent = killed_soon(guest, choice.random() ** 2 * 0.012)
        eventually(lambda: guest.find_agent() not in (None, agent), 10, "there is another")
        connection = guest.settled()
        eventually(lambda: len(guest.read("tmp/log").split()) >= 4, 5, "the services run")
        about = f"attempt {attempt}: {connection.call('guest.boot')}"
        equal(sorted(guest.read("tmp/log").split()), ["a", "b", "c", "d"], about)
        report = {step["name"]: step["state"] for step in connection.call("guest.boot")["steps"]}
        equal(len(report), len(connection.call("guest.boot")["steps"]), about)
        equal([report[f"service.{name}"] for name in "abcd"], ["done"] * 4, about)
        targets = [target for target, _ in guest.mounts()]
        equal(sorted(set(targets)), sorted(targets), about)
        states = [service["state"] for service in connection.call("service.list")["services"]]
        equal(states, ["running"] * 4, about)
        guest.stop()


@test(timeout=30, root=True)
def an_agent_that_never_starts_ends_the_machine_when_that_is_wanted(case):
    for action, status in (("reboot", RESTARTED), ("poweroff", POWERED_OFF)):
        guest = IsolatedGuest(case, cmdline=f"{HOPELESS} ns.give_up=3:{action}", shell=False)
        equal(guest.wait_end(), status)
        check(f'msg="the agent does not start" tries=3 action={action}' in guest.log(), "it is said why")
        equal(guest.log().count('msg="agent started"'), 3)
        guest.stop()


@test(timeout=40, root=True)
def an_agent_that_never_starts_is_tried_again_and_again(case):
    guest = IsolatedGuest(case, cmdline=HOPELESS, shell=False)
    eventually(lambda: guest.log().count("delay_ms=") >= 7, 15, "seven tries")
    delays = [int(rest.split()[0]) for rest in guest.log().split("delay_ms=")[1:]]
    equal(delays[:7], [0, 0, 50, 100, 200, 400, 800])
    check("nonexistent" in guest.log(), "it is said why")
    guest.signal(signal.SIGTERM)
    equal(guest.wait_end(), POWERED_OFF)


# Not a guest


@test(timeout=30, root=True)
def a_container_mounts_nothing_and_ends_with_everything_dead(case):
    for role in ("container", "auto"):
        arguments = (f"--role={role}", "--listen", "unix:/run/agent.sock", "--shutdown-grace", "200")
        guest = IsolatedGuest(case, arguments=arguments, texts={"run/here": ""})
        before = guest.mounts()
        connection = guest.settled()
        boot = connection.call("guest.boot")
        equal((boot["role"], [step["name"] for step in boot["steps"]]), ("container", ["announce", "services"]))
        stubborn = deaf(connection)
        equal(guest.mounts(), before)
        guest.signal(signal.SIGTERM)
        expect_goodbye(guest, connection)
        equal(stubborn.result()["exit"].get("signal"), signal.SIGKILL)
        equal(guest.wait_end(), 0)
        check("exits=1 orphans=" in guest.log(), "all were waited for")
        guest.stop()


@test(timeout=30)
def an_ordinary_process_gives_up_with_status_1(case):
    path, address = case.path("agent.json"), f"unix:{case.path('sock')}"

    def configure(text):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    configure(json.dumps({}))
    command = [agent_program(), "--listen", address, "--config", path, "--give-up", "3:reboot"]
    with open(case.path("log"), "wb") as log:
        supervisor = launch(case, command, stdin=-3, stdout=log, stderr=log, cwd=case.directory)
    with eventually(lambda: dial(address), 10, "the agent listens") as connection:
        agent = connection.call("info")["pid"]
    configure("{")
    os.kill(agent, signal.SIGKILL)
    equal(supervisor.wait(scaled(10)), 1)
    with open(case.path("log"), encoding="utf-8") as log:
        check('msg="the agent does not start" tries=3' in log.read(), "it is said why")


def dial(address):
    try:
        return wire.Connection(address)
    except OSError:
        return None


if __name__ == "__main__":
    main()
