#!/usr/bin/env python3
"""A small guest whose workload takes all there is of something: the agent still answers, and tells."""

import re

from support.boot import log_text, shell, wait_steps
from support.guest import Guest, main
from support.tap import at_most, check, equal, eventually, test

GROUP = "/sys/fs/cgroup/work"  # of all that the guest runs

# What is promised of an emulated guest on a busy machine.
PING_SECONDS = 10
TASKS_REFUSED = "too many tasks: new ones were refused"
ORPHANS = 1000

# All are readers of a pipe whose last writer is their parent: they end when it does, all at once.
MAKE_ORPHANS = f"""
mkfifo /tmp/gate && exec 9<>/tmp/gate 8</tmp/gate
for i in $(seq {ORPHANS}); do (exec 9>&-; read line <&8) & done
"""

# Descriptors of another user's processes, until the kernel has no more for them.
TAKE_FILES = """
while exec 3</etc/passwd 4</etc/passwd 5</etc/passwd 6</etc/passwd 7</etc/passwd 8</etc/passwd; do
    sleep 1000 &
done
"""


class Small(Guest):
    """A guest that knows whether agent and PID 1 are still the first ones."""

    def __init__(self, case, memory_mib=128):
        super().__init__(case, memory_mib=memory_mib)
        self.connection = self.connect()
        wait_steps(self.connection, "services")
        self.pid = self.connection.call("info")["pid"]

    def answers(self):
        at_most(self.connection.ping(2 * PING_SECONDS), PING_SECONDS, "seconds for a ping")

    def answers_during(self, stream, seconds=60):
        """While that process runs; returns its result."""
        for _ in range(int(seconds * 10)):
            self.answers()
            if stream.done:
                return stream.result()
            self.connection.drain(0.1)
        check(False, f"the process did not end in {seconds} s")

    def is_unharmed(self):
        self.answers()
        info = self.connection.call("info")
        equal((info["pid"], info["generation"], info["supervisor_pid"]), (self.pid, 1, 1), "nobody was restarted")
        equal(self.connection.run(["echo", "fine"], timeout=60).stdout, b"fine\n")
        check("Kernel panic" not in self.console(), "no panic")


@test(timeout=120)
def a_process_that_takes_all_memory_is_killed_and_nobody_else(case):
    guest = Small(case)
    bystander = guest.connection.start(["sleep", "1000"])
    bystander.wait_note("process.started")
    for _ in range(2):
        result = guest.answers_during(guest.connection.start(["tail", "/dev/zero"]))
        equal(result["exit"].get("signal"), 9, f"{result}")
    guest.is_unharmed()
    check(not bystander.done, "who takes little is left alone")
    eventually(lambda: "out of memory: processes were killed" in log_text(guest.connection), 10, "the log tells")
    check("Killed process" in log_text(guest.connection, source="kernel"), "so does the kernel's")


@test(timeout=180)
def a_fork_bomb_leaves_room_for_the_agent_and_ends_with_the_machine(case):
    guest = Small(case)
    bomb = guest.connection.start(["sh", "-c", "b(){ b|b& }; b"], stdin="null")
    for _ in range(300):
        guest.answers()
        if TASKS_REFUSED in log_text(guest.connection):
            break
        guest.connection.drain(0.1)
    check(TASKS_REFUSED in log_text(guest.connection), "the log tells")
    for _ in range(20):
        guest.answers()
        guest.connection.drain(0.1)
    equal(guest.connection.run(["true"], timeout=90).code, 0, "another process finds a place")
    equal(guest.connection.call("info")["pid"], guest.pid, "the agent is the same")
    check(bomb.channels, "its stream is there")
    guest.connection.call("guest.shutdown", grace_ms=500)
    equal(guest.wait_end(60), "guest-shutdown")


@test(timeout=120)
def with_no_task_left_the_host_can_still_start_what_ends_them(case):
    guest = Small(case)
    hoarder = guest.connection.start(["sh", "-c", "while :; do sleep 1000 & done"], stdin="null")
    guest.answers_during(hoarder)
    eventually(lambda: TASKS_REFUSED in log_text(guest.connection), 20, "the log tells")
    for _ in range(4):
        guest.connection.call("process.start", argv=["sleep", "1000"])
    number, limit = (shell(guest.connection, f"cat {GROUP}/pids.{name}") for name in ("current", "max"))
    check(int(number) > int(limit), f"more than all are taken: {number} of {limit}")
    equal(shell(guest.connection, "cat /proc/self/cgroup"), "0::/work", "its group")
    shell(guest.connection, "killall -9 sleep")
    eventually(lambda: int(shell(guest.connection, f"cat {GROUP}/pids.current")) < 50, 20, "they are gone")
    guest.is_unharmed()


@test(timeout=120)
def a_full_disk_stops_neither_processes_nor_the_log(case):
    guest = Small(case)
    fill = "dd if=/dev/zero of={0}/fill bs=64k 2>&1 | grep -c 'No space left'"
    shell(guest.connection, "mkdir -p /small && mount -t tmpfs -o size=1m small /small")
    # Each of these two may take a half or a fifth of the memory, so not both at once.
    for place, last in (("/dev/shm", "/dev/shm/fill"), ("/run", ""), ("/small", "")):
        equal(shell(guest.connection, fill.format(place), seconds=60), "1", f"{place} is full")
        guest.is_unharmed()
        shell(guest.connection, f"rm -f {last}")
    before = len(log_text(guest.connection).splitlines())
    guest.connect()
    eventually(lambda: len(log_text(guest.connection).splitlines()) > before, 10, "the log goes on")
    output = guest.connection.run(["head", "-c", "300000", "/dev/zero"], timeout=60)
    equal(len(output.stdout), 300000, "output needs no disk")


def as_user(script):
    return ["su", "-s", "/bin/sh", "nobody", "-c", script]


@test(timeout=120)
def without_descriptors_for_users_the_agent_goes_on(case):
    guest = Small(case)
    limit = int(shell(guest.connection, "cut -f 1 /proc/sys/fs/file-nr")) + 200
    shell(guest.connection, f"echo {limit} >/proc/sys/fs/file-max")
    result = guest.answers_during(guest.connection.start(as_user(TAKE_FILES), stdin="null"))
    check(result["exit"].get("code") != 0, f"it ended since there were no more: {result}")
    check(guest.connection.run(as_user("cat /etc/group"), timeout=60).code != 0, "there are really none left")
    guest.is_unharmed()
    with guest.connect() as another:
        equal(another.run(["echo", "served"], timeout=60).stdout, b"served\n")


def supervisor_count(guest, name):
    """A number that the supervisor writes into its log for SIGUSR1."""
    shell(guest.connection, "kill -USR1 1")
    counts = re.findall(rf"state=.* {name}=(\d+)", log_text(guest.connection, source="supervisor"))
    return int(counts[-1]) if counts else 0


@test(timeout=120)
def a_thousand_orphans_are_reaped_at_once(case):
    guest = Small(case, memory_mib=512)
    before = supervisor_count(guest, "orphans")
    maker = guest.connection.start(["sh", "-c", f"exec >/dev/null 2>&1 {MAKE_ORPHANS}"], stdin="null")
    equal(guest.answers_during(maker)["exit"].get("code"), 0)
    eventually(lambda: supervisor_count(guest, "orphans") >= before + ORPHANS, 30, "all are counted")
    zombies = "cat /proc/[0-9]*/stat 2>/dev/null | awk '$3 == \"Z\" { n++ } END { print n + 0 }'"
    equal(shell(guest.connection, zombies), "0", "zombies")
    guest.is_unharmed()


if __name__ == "__main__":
    main()
