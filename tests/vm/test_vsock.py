#!/usr/bin/env python3
"""The agent over a real virtio-vsock: storms of connections, a transport that is reset, and silence."""

import hashlib
import json
import time

from support.boot import shell, wait_steps
from support.guest import Guest, main
from support.tap import at_most, check, equal, eventually, test

MIB = 1 << 20
STORM = 1000
CONNECTIONS = 64
# Enough that a cut in the middle finds more to come.
LINES = 60
LINE_BYTES = 20000


@test(timeout=120)
def a_thousand_connects_in_a_storm_leave_the_agent_as_it_was(case):
    guest = Guest(case)
    connection = guest.connect()
    wait_steps(connection, "services", "grow")
    before = connection.call("stats")

    def storm():
        refused = 0
        for _ in range(STORM // 8):
            try:
                guest.dial().close()
            except ConnectionError:  # more at once than the agent takes
                refused += 1
        return refused

    storms = [case.thread(storm) for _ in range(8)]
    while any(worker.running for worker in storms):
        at_most(connection.ping(20), 15, "seconds for a ping meanwhile")
    refused = sum(worker.join() for worker in storms)
    check(refused < STORM // 2, f"{refused} of {STORM} were refused")
    now = eventually(lambda: same_connections(connection, before), 20, lambda: f"{connection.call('stats')}")
    check(now["fds"] <= before["fds"] + 4, f"no descriptor is lost: {before['fds']} {now['fds']}")
    equal(connection.call("info")["generation"], 1)
    with guest.connect() as another:
        equal(another.run(["echo", "served"]).stdout, b"served\n")


def same_connections(connection, before):
    now = connection.call("stats")
    return now if now["connections"] <= before["connections"] else None


@test(timeout=180)
def sixty_four_connections_each_move_a_mebibyte(case):
    guest = Guest(case, memory_mib=512)
    wait_steps(guest.connect(), "services")
    guest.connections.pop().close()
    connections = [guest.connect() for _ in range(CONNECTIONS)]
    script = f"head -c {MIB} /dev/urandom >/tmp/$1; sha256sum </tmp/$1; cat /tmp/$1 >&2; rm /tmp/$1; exit $1"
    streams = [
        connection.start(["/bin/sh", "-c", script, "sh", str(number)]) for number, connection in enumerate(connections)
    ]
    waiting = set(range(CONNECTIONS))
    end = time.monotonic() + 150
    while waiting and time.monotonic() < end:
        for number in list(waiting):
            connections[number].pump(0.001)
            if streams[number].done:
                waiting.remove(number)
    equal(waiting, set(), "all have ended")
    for number, stream in enumerate(streams):
        output, data = stream.channels[2].bytes, stream.channels[3].bytes
        equal((stream.result()["exit"].get("code"), len(data)), (number, MIB), f"connection {number}")
        equal(output.split()[0].decode(), hashlib.sha256(data).hexdigest(), f"connection {number}")


@test(timeout=120)
def clients_go_on_where_they_were_when_the_transport_is_reset(case):
    guest = Guest(case)
    wait_steps(guest.connect(), "services")
    shell(guest.connections[0], f"head -c {LINE_BYTES} /dev/urandom >/tmp/part")
    part = guest.nsctl("run", "--", "cat", "/tmp/part").stdout
    repeat = f"i=0; while [ $i -lt {LINES} ]; do cat /tmp/part; echo $i >/tmp/at; i=$((i + 1)); sleep 0.1; done; exit 9"
    reader = case.thread(lambda: guest.nsctl("run", "--", "sh", "-c", repeat, seconds=100))
    for cid in (77, 78):
        at = line_of(guest)
        eventually(lambda: line_of(guest) > at + 3, 30, "it is in the middle")
        guest.unplug_vsock()
        guest.connections.pop().close()
        guest.plug_vsock(cid=cid)
        guest.wait_listening()
        guest.connect()
    check(reader.running and line_of(guest) < LINES - 1, "it was cut in the middle")
    done = reader.join(100)
    equal((done.returncode, len(done.stdout)), (9, LINES * LINE_BYTES), done.stderr)
    equal(hashlib.sha256(done.stdout).hexdigest(), hashlib.sha256(part * LINES).hexdigest(), "every byte once")
    equal(guest.connections[0].call("info")["generation"], 1, "by the same agent")


def line_of(guest):
    return int(shell(guest.connections[0], "cat /tmp/at 2>/dev/null || echo -1") or -1)


@test(timeout=90)
def a_guest_that_no_host_connects_to_is_not_busy(case):
    """It measures itself, as a service, and is asked only afterwards."""
    agent = "$(cat /sys/fs/cgroup/agent/cgroup.procs)"
    ticks = f"for p in {agent}; do cut -d ' ' -f 14,15 /proc/$p/stat; done"
    script = f"sleep 3; ({ticks}) >/run/before; sleep 5; ({ticks}) >/run/after; echo it is measured >/dev/console"
    with open(case.path("agent.json"), "w", encoding="ascii") as file:
        json.dump({"announce_port": 1025, "services": [{"name": "measure", "command": script}]}, file)
    options = ("--add", f"{case.path('agent.json')}:/etc/nullspace/agent.json")
    guest = Guest(case, start=False, image=options)
    guest.start()
    guest.wait_console("it is measured", 60)
    with guest.connect() as connection:
        before, after = (
            [int(word) for word in shell(connection, f"cat /run/{name}").split()] for name in ("before", "after")
        )
    equal((len(before), len(after)), (4, 4), "PID 1 and the agent")
    at_most(sum(after) - sum(before), 3, "hundredths of a second of processor time in 5 s")


if __name__ == "__main__":
    main()
