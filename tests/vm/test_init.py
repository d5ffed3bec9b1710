#!/usr/bin/env python3
"""The agent as the init of a real guest."""

import os
import subprocess
import sys

from support.guest import Guest, main
from support.machine import TOP
from support.tap import check, equal, scaled, test


@test(timeout=60)
def a_guest_whose_init_is_the_agent_runs_commands(case):
    for kernel in ("6.12", "6.1"):
        guest = Guest(case, kernel=kernel)
        connection = guest.connect()
        equal(connection.call("info")["supervisor_pid"], 1, kernel)
        equal(connection.run(["/bin/echo", "from", "a", "guest"]).stdout, b"from a guest\n")
        check(connection.run(["uname", "-r"]).stdout.startswith(kernel.encode() + b"."), "the kernel")
        guest.stop()


@test(timeout=60)
def ctrl_alt_delete_ends_the_guest_in_order(case):
    guest = Guest(case)
    guest.ctrl_alt_delete()
    equal(guest.wait_end(), "guest-reset")


@test(timeout=60)
def a_client_written_from_the_protocol_text_alone_runs_commands(case):
    guest = Guest(case)
    command = [sys.executable, os.path.join(TOP, "packaging/examples/host.py"), guest.url, "--"]
    script = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; echo end >&2; exit 7"
    done = subprocess.run([*command, "sh", "-c", script], capture_output=True, timeout=scaled(40), check=False)
    equal(done.stdout, b"".join(b"line %d\n" % number for number in range(20000)))
    equal((done.stderr, done.returncode), (b"end\n", 7))


if __name__ == "__main__":
    main(kernels=("6.12", "6.1"))
