#!/usr/bin/env python3
"""What a guest's processes get from their init, and what does not keep that from coming up."""

from support.guest import Guest, main
from support.tap import check, equal, eventually, test


def shell(connection, command):
    run = connection.run(["/bin/sh", "-c", command])
    return run.stdout.decode().strip()


@test(timeout=60)
def a_process_finds_what_service_managers_give(case):
    connection = Guest(case).connect()
    equal(shell(connection, "ulimit -Sn; ulimit -Hn"), "1024\n524288")
    equal(shell(connection, "ulimit -Sc; umask; cat /proc/self/oom_score_adj"), "0\n0022\n0")
    equal(shell(connection, "stat -c %a /run/lock"), "1777")
    equal(shell(connection, "grep -E 'SigBlk|SigIgn' /proc/self/status | grep -v 0000000000000000"), "")
    # Of the shell itself; what else it has would have come from us.
    equal(shell(connection, "cd /proc/$$/fd && for f in [0-9]*; do readlink $f >/dev/null && echo $f; done"), "0\n1\n2")
    equal(shell(connection, "cat /proc/self/cgroup"), "0::/work")


@test(timeout=60)
def the_store_of_a_guest_has_room_for_every_process(case):
    connection = Guest(case).connect()
    check(int(shell(connection, "awk '/open files/ {print $4}' /proc/1/limits")) >= 4 * 4096, "descriptors")


@test(timeout=120)
def words_of_the_kernel_command_line_are_no_subcommands(case):
    for word in ("--version", "--help", "check-config", "grow-root", "agent"):
        guest = Guest(case, cmdline=f"-- {word}")
        steps = {step["name"]: step for step in guest.connect().call("guest.boot")["steps"]}
        equal(steps["options"]["state"], "failed" if word.startswith("-") else "done", word)
        guest.stop()


@test(timeout=60)
def ctrl_alt_delete_while_the_root_is_awaited_is_not_lost(case):
    guest = Guest(case, start=False, cmdline="ns.root=/dev/nothing ns.rootwait=10000")
    guest.start()
    eventually(guest.driver_ready, 20, "the drivers are there")
    guest.ctrl_alt_delete()
    equal(guest.wait_end(30), "guest-reset")
    check("leaving" in guest.console(), "it ended in order")


if __name__ == "__main__":
    main()
