#!/usr/bin/env python3
"""The end of a guest: asked for in every way, in order, bounded; and agents and a PID 1 that fail."""

import signal
import time

from support.boot import shell, wait_steps
from support.disk import ext4, run
from support.guest import Guest, main
from support.machine import Drive
from support.tap import at_most, check, equal, eventually, test
from support.wire import Lost

# What the end takes beyond the grace: agent, disks, and an emulated processor.
END_SECONDS = 30
# The server of a file system that never answers, and that waits for a frozen disk, beyond any signal.
HANG = """
exec 3<>/dev/fuse
mount -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0 hung /hung
fsfreeze --freeze /data && echo more >/data/file
"""


def ready(case, **options):
    guest = Guest(case, **options)
    connection = guest.connect()
    wait_steps(connection, "services", "grow")
    return guest, connection


@test(timeout=240)
def every_way_to_ask_for_the_end_is_understood(case):
    def call(action):
        return lambda guest, connection: connection.call("guest.shutdown", action=action)

    def kill(name):
        return lambda guest, connection: connection.call("process.start", argv=["kill", f"-{name}", "1"])

    ways = (
        ("power off", call("poweroff"), "guest-shutdown"),
        ("reboot", call("reboot"), "guest-reset"),
        ("SIGTERM", kill("TERM"), "guest-shutdown"),
        ("SIGPWR", kill("PWR"), "guest-shutdown"),
        ("SIGINT", kill("INT"), "guest-reset"),
        ("Ctrl-Alt-Del", lambda guest, connection: guest.ctrl_alt_delete(), "guest-reset"),
    )
    for about, ask, reason in ways:
        guest, connection = ready(case)
        ask(guest, connection)
        equal(connection.wait_lost(END_SECONDS)["data"]["name"], "SHUTTING_DOWN", about)
        connection.close()
        equal(guest.wait_end(END_SECONDS), reason, about)


@test(timeout=90)
def a_halted_guest_stays_and_does_nothing(case):
    guest, connection = ready(case)
    connection.call("guest.shutdown", action="halt")
    equal(connection.wait_lost(END_SECONDS)["data"]["name"], "SHUTTING_DOWN")
    connection.close()
    guest.wait_console("System halted", END_SECONDS)
    check(guest.running(), "QEMU is there")


@test(timeout=90)
def everything_is_told_before_the_machine_ends(case):
    guest, connection = ready(case)
    gentle = connection.start(["/bin/sh", "-c", "trap 'echo bye; exit 0' TERM; echo on; while :; do sleep 0.1; done"])
    plain = connection.start(["sleep", "1000"])
    deaf = connection.start(["/bin/sh", "-c", "trap '' TERM; echo on; while :; do sleep 0.1; done"])
    connection.until(lambda: gentle.channels[2].bytes and deaf.channels[2].bytes, 15, "both are on")
    plain.wait_note("process.started")
    began = time.monotonic()
    connection.call("guest.shutdown", grace_ms=1500)
    equal(connection.wait_lost(END_SECONDS)["data"]["name"], "SHUTTING_DOWN")
    connection.close()
    ends = [stream.result()["exit"] for stream in (gentle, plain, deaf)]
    equal((ends[0].get("code"), ends[1].get("signal"), ends[2].get("signal")), (0, signal.SIGTERM, signal.SIGKILL))
    equal(gentle.channels[2].bytes, b"on\nbye\n", "the last words")
    check(time.monotonic() - began >= 1.5, "the grace is given")
    equal(guest.wait_end(END_SECONDS), "guest-shutdown")


@test(timeout=90)
def nothing_new_is_started_once_the_end_has_begun(case):
    guest, connection = ready(case)
    deaf = connection.start(["/bin/sh", "-c", "trap '' TERM; echo on; while :; do sleep 0.1; done"])
    connection.until(lambda: deaf.channels[2].bytes, 15, "it is on")
    connection.call("guest.shutdown", grace_ms=2000)
    late = connection.request("process.start", {"argv": ["true"]})
    connection.until(lambda: late.done, 15, "the answer")
    equal(late.message["error"]["data"]["name"], "SHUTTING_DOWN")
    equal(connection.wait_lost(END_SECONDS)["data"]["name"], "SHUTTING_DOWN")
    connection.close()
    equal(guest.wait_end(END_SECONDS), "guest-shutdown")


@test(timeout=240)
def what_hangs_in_the_kernel_does_not_keep_the_machine(case):
    guest, connection = ready(case, drives=[Drive(ext4(case.path("disk"), 16))])
    shell(connection, "mkdir /data /hung && mount -t ext4 /dev/vda /data && echo x >/data/file && sync")
    server = connection.call("process.start", argv=["/bin/sh", "-c", HANG])
    asker = "while ! ls /hung/file; do sleep 0.1; done"
    eventually(lambda: "/hung" in shell(connection, "cat /proc/mounts"), 15, "it is mounted")
    connection.call("process.start", argv=["/bin/sh", "-c", asker])
    state = f"cut -d ' ' -f 3 /proc/{server['pid']}/stat"
    eventually(lambda: shell(connection, state) == "D", 15, "the server waits in the kernel")
    began = time.monotonic()
    connection.call("guest.shutdown", grace_ms=500)
    equal(guest.wait_end(100), "guest-shutdown")
    at_most(time.monotonic() - began, 90, "seconds until the end")


@test(timeout=90)
def mounts_of_the_workload_are_clean_after_the_end(case):
    disk = ext4(case.path("disk"), 16)
    guest, connection = ready(case, drives=[Drive(disk)])
    shell(connection, "mkdir /data && mount -t ext4 /dev/vda /data")
    writer = connection.start(["/bin/sh", "-c", "cd /data; trap '' TERM; while :; do echo x >>file; done"])
    writer.wait_note("process.started")
    eventually(lambda: shell(connection, "cat /data/file 2>/dev/null | head -n 1") == "x", 15, "it writes")
    shell(connection, "echo last >/data/last")
    connection.call("guest.shutdown", grace_ms=100)
    equal(guest.wait_end(END_SECONDS), "guest-shutdown")
    run("e2fsck", "-fn", disk)
    equal(run("debugfs", "-R", "cat /last", disk).split()[-1], "last")


# Agents that die


def kill_agent(guest, connection):
    agent = connection.call("info")["pid"]
    try:
        connection.call("process.start", argv=["kill", "-KILL", str(agent)])
        connection.wait_lost()
    except Lost:
        pass
    guest.wait_listening()
    return agent


@test(timeout=240)
def an_agent_killed_twenty_times_is_back_each_time(case):
    guest, connection = ready(case)
    script = "trap 'exit 7' TERM; i=0; while :; do echo $i; i=$((i + 1)); sleep 0.2; done"
    counting = connection.call("process.start", argv=["/bin/sh", "-c", script])
    agents = set()
    for _ in range(20):
        connection = guest.connect()
        agents.add(kill_agent(guest, connection))
    equal(len(agents), 20)
    connection = guest.connect()
    equal(connection.call("info")["generation"], 21)
    connection.call("process.signal", id=counting["id"], signal="TERM")
    stream = connection.attach(counting["id"], stdout_from=0)
    result = stream.wait(30)
    equal(result["exit"].get("code"), 7, f"{result}")
    lines = stream.channels[2].bytes.split()
    equal(lines, [b"%d" % number for number in range(len(lines))], "every byte once")
    check("interrupted" not in str(connection.call("guest.boot")), "no boot step is run again or lost")


HOPELESS = "ns.token_file=/nonexistent/token"


@test(timeout=150)
def an_agent_that_never_starts_is_told_on_the_console_or_ends_the_machine(case):
    given_up = Guest(case, start=False, cmdline=f"{HOPELESS} ns.give_up=3:poweroff").start()
    equal(given_up.wait_end(60), "guest-shutdown")
    check("the agent does not start" in given_up.console(), "it is said why")
    stubborn = Guest(case, start=False, cmdline=HOPELESS).start()
    stubborn.wait_console("the agent cannot start", 40)
    seen = stubborn.console().count("the agent cannot start")
    eventually(lambda: stubborn.console().count("the agent cannot start") > seen + 1, 40, "it is tried again")
    check(stubborn.running(), "it stays")
    stubborn.ctrl_alt_delete()
    equal(stubborn.wait_end(END_SECONDS), "guest-reset", "and can be ended")


# PID 1


@test(timeout=150)
def a_signal_that_would_end_another_process_does_not_end_pid_1(case):
    guest, connection = ready(case)
    for name in ("KILL", "STOP", "HUP", "USR2", "QUIT", "ALRM", "PIPE", "TSTP"):
        shell(connection, f"kill -{name} 1")
    equal(shell(connection, "echo works; cut -d ' ' -f 1-3 /proc/1/stat").splitlines()[0], "works")
    equal(connection.call("info")["generation"], 1)
    check(guest.running(), "the machine is there")


@test(timeout=90)
def a_fault_of_pid_1_reboots_the_machine_instead_of_a_panic(case):
    guest, connection = ready(case)
    connection.call("process.start", argv=["kill", "-SEGV", "1"])
    equal(guest.wait_end(END_SECONDS), "guest-reset")
    check("PID 1 has failed" in guest.console(), "the console says why")


if __name__ == "__main__":
    main()
