#!/usr/bin/env python3
"""The agent in a real guest over a real virtio-vsock, as a child of another init."""

import hashlib
import signal
import time

from support.guest import PLAIN_INIT, Guest, main
from support.tap import check, equal, test
from support.wire import Lost

MIB = 1 << 20
PLAIN = {"init": PLAIN_INIT, "image": ("--decompress",)}


@test(timeout=60)
def a_command_runs_in_the_guest_and_its_exit_status_is_ours(case):
    guest = Guest(case, **PLAIN)
    done = guest.nsctl("run", "--", "uname", "-sr")
    equal((done.returncode, done.stderr), (0, b""))
    check(done.stdout.startswith(b"Linux 6.12."), f"the guest's kernel: {done.stdout}")
    equal(guest.nsctl("run", "--", "sh", "-c", "echo no >&2; exit 7").returncode, 7)
    equal(guest.nsctl("run", "--", "sh", "-c", "kill -9 $$").returncode, 128 + signal.SIGKILL)


@test(timeout=60)
def the_older_kernel_boots_too(case):
    guest = Guest(case, kernel="6.1", **PLAIN)
    done = guest.nsctl("run", "--", "uname", "-sr")
    check(done.stdout.startswith(b"Linux 6.1."), f"the guest's kernel: {done.stdout}")


@test(timeout=90)
def large_output_and_input_arrive_unchanged(case):
    guest = Guest(case, **PLAIN)
    make = "dd if=/dev/urandom of=/tmp/data bs=1M count=16 2>/dev/null; sha256sum </tmp/data"
    expected = guest.nsctl("run", "--", "sh", "-c", make).stdout.split()[0].decode()
    done = guest.nsctl("run", "--", "cat", "/tmp/data")
    equal((done.returncode, len(done.stdout)), (0, 16 * MIB), done.stderr)
    equal(hashlib.sha256(done.stdout).hexdigest(), expected)
    back = guest.nsctl("run", "--", "sha256sum", input=done.stdout)
    equal(back.stdout.split()[:1], [expected.encode()], back.stderr)


def kill_agent(guest):
    """Kills the agent from inside; the answer of that call may or may not arrive."""
    with guest.connect() as connection:
        agent = connection.call("info")["pid"]
        try:
            connection.call("process.start", argv=["/bin/kill", "-KILL", str(agent)])
            connection.wait_lost()
        except Lost:
            pass


@test(timeout=60)
def processes_survive_the_agent(case):
    guest = Guest(case, **PLAIN)
    connection = guest.connect()
    script = "i=0; while [ $i -lt 20 ]; do echo line $i; i=$((i+1)); sleep 0.1; done; exit 3"
    counting = connection.call("process.start", argv=["/bin/sh", "-c", script])
    kill_agent(guest)
    guest.wait_listening()
    done = guest.nsctl("attach", str(counting["id"]))
    equal(done.stdout, b"".join(b"line %d\n" % i for i in range(20)), done.stderr)
    equal(done.returncode, 3)


@test(timeout=90)
def output_is_whole_though_the_agent_is_killed_again_and_again(case):
    guest = Guest(case, **PLAIN)
    equal(guest.nsctl("run", "--", "sh", "-c", "head -c 500000 /dev/urandom >/tmp/part").returncode, 0)
    part = guest.nsctl("run", "--", "cat", "/tmp/part").stdout
    repeat = "for i in $(seq 40); do cat /tmp/part; sleep 0.05; done; exit 5"
    reader = case.thread(lambda: guest.nsctl("run", "--", "sh", "-c", repeat, seconds=60))
    kills = 0
    while reader.running and kills < 6:
        kill_agent(guest)
        kills += 1
        guest.wait_listening()
        time.sleep(0.3)
    done = reader.join(60)
    equal(done.returncode, 5, done.stderr)
    check(done.stdout == part * 40, f"every byte once: {len(done.stdout)} of {len(part) * 40}")
    check(kills >= 3, f"{kills} kills")


@test(timeout=60)
def two_hundred_quick_connects_are_all_served(case):
    guest = Guest(case, **PLAIN)
    links = [guest.dial() for _ in range(200)]
    for link in links:
        link.close()
    with guest.connect() as connection:
        equal(connection.run(["/bin/echo", "still there"]).stdout, b"still there\n")


@test(timeout=90)
def sixty_four_connections_work_at_once(case):
    guest = Guest(case, **PLAIN)
    connections = [guest.connect() for _ in range(64)]
    streams = [c.start(["/bin/sh", "-c", f"head -c 100000 /dev/zero; exit {i}"]) for i, c in enumerate(connections)]
    for number, stream in enumerate(streams):
        equal(stream.wait(60)["exit"]["code"], number)
        equal(len(stream.channels[2].bytes), 100000, f"output of {number}")


if __name__ == "__main__":
    main(kernels=("6.12", "6.1"))
