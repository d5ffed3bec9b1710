#!/usr/bin/env python3
"""The agent as the init of a real guest."""

from support.guest import Guest, main
from support.tap import check, equal, test


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


if __name__ == "__main__":
    main(kernels=("6.12", "6.1"))
