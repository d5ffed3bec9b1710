#!/usr/bin/env python3
"""The machine room itself: guests end when they should, and images are the same every time."""

import os
import signal
import subprocess
import sys

from support.guest import PLAIN_INIT, Guest, initramfs, main
from support.machine import TOP, MachineError, kernel_directory

from support import proc
from support.agent import agent_program, launch, nsctl_program
from support.tap import Failure, check, equal, eventually, scaled, test

PLAIN = {"init": PLAIN_INIT, "image": ("--decompress",)}
IMAGE = os.path.join(TOP, "packaging/image")

# Starts a guest, says which processes that are, and waits.
OWNER = """
import sys, time
sys.path.insert(0, sys.argv[1])
from support.machine import Machine
machine = Machine(sys.argv[2], sys.argv[3]).start()
print(machine.process.pid, machine.device.process.pid, flush=True)
time.sleep(60)
"""


def fails(function):
    try:
        function()
    except MachineError as error:
        return str(error)
    raise Failure("it did not fail")


@test(timeout=60)
def a_guest_ends_with_the_process_that_started_it(case):
    where = [os.path.join(TOP, "tests/vm"), case.directory, initramfs("6.12", "--init", PLAIN_INIT)]
    owner = launch(case, [sys.executable, "-c", OWNER, *where], stdout=subprocess.PIPE)
    pids = [int(word) for word in owner.stdout.readline().split()]
    equal([proc.is_running(pid) for pid in pids], [True, True])
    owner.kill()
    eventually(lambda: not any(map(proc.is_running, pids)), 5, "QEMU and the device are gone")


@test(timeout=60)
def a_guest_ends_at_its_time_limit(case):
    guest = Guest(case, start=False, time_limit=1, **PLAIN)
    guest.start()
    check("no event" in fails(lambda: guest.wait_end(0.1)), "nothing ends so early")
    check(guest.monitor.command("query-status")["running"], "it runs")
    check("did not end by itself" in fails(guest.wait_end), "the end is not the guest's own")
    check(guest.out_of_time and "time limit" in guest.last_words(), "it is told why")


@test(timeout=90)
def how_a_guest_ends_is_known(case):
    ends = {"reboot -f": "guest-reset", "poweroff -f": "guest-shutdown", "echo c >/proc/sysrq-trigger": "guest-panic"}
    for command, reason in ends.items():
        guest = Guest(case, **PLAIN)
        guest.nsctl("run", "--detach", "--", "sh", "-c", command)
        equal(guest.wait_end(), reason, command)
        check(not guest.running(), "QEMU has ended")


@test(timeout=90)
def a_guest_that_may_reboot_comes_back(case):
    guest = Guest(case, reboots=True, **PLAIN)
    before = guest.nsctl("run", "--", "cat", "/proc/sys/kernel/random/boot_id").stdout
    guest.reset()
    eventually(lambda: not guest.listening(), 10, "the guest is gone")
    guest.wait_listening()
    after = guest.nsctl("run", "--", "cat", "/proc/sys/kernel/random/boot_id").stdout
    check(before != after and len(after) == len(before), f"another boot: {before} {after}")


@test(timeout=60)
def ctrl_alt_delete_reaches_the_guest(case):
    guest = Guest(case, **PLAIN)
    guest.ctrl_alt_delete()
    equal(guest.wait_end(), "guest-reset")


@test(timeout=60)
def the_vsock_can_be_replaced_and_the_listener_serves_the_next_cid(case):
    guest = Guest(case, **PLAIN)
    connection = guest.connect()
    guest.unplug_vsock()
    connection.wait_lost()
    guest.plug_vsock(cid=77)
    guest.wait_listening()
    equal(guest.nsctl("run", "--", "echo", "again").stdout, b"again\n")


@test(timeout=60)
def what_the_guest_dials_arrives_at_the_host(case):
    guest = Guest(case, init=PLAIN_INIT, image=("--decompress", "--add", f"{nsctl_program()}:/bin/nsctl"))
    dial = ["run", "--", "nsctl", "-c", "vsock:2:2000", "--reconnect-timeout", "0", "ping"]
    refused = guest.nsctl(*dial)
    equal(refused.returncode, 125, refused.stderr)
    with guest.listener(2000) as listener:
        listener.settimeout(scaled(10))
        guest.nsctl("run", "--detach", *dial[1:])
        link, _ = listener.accept()
        with link:
            link.settimeout(scaled(10))
            equal(link.recv(4), b"\xc0NSP")


@test(timeout=60)
def the_vm_program_serves_a_guest_and_ends_it(case):
    image = initramfs("6.12", "--decompress", "--init", PLAIN_INIT)
    environment = dict(os.environ, TMPDIR=case.directory)
    with open(case.path("console"), "wb") as console:
        command = [os.path.join(TOP, "packaging/vm"), image]
        program = launch(
            case, command, stdout=subprocess.PIPE, stderr=console, env=environment, start_new_session=True
        )
    name, _, url = program.stdout.readline().decode().strip().partition("=")
    equal(name, "NSCTL_CONNECT")
    done = subprocess.run(
        [nsctl_program(), "run", "--", "echo", "hello"],
        env=dict(os.environ, NSCTL_CONNECT=url),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=20,
        check=False,
    )
    equal((done.returncode, done.stdout), (0, b"hello\n"), done.stderr)
    children = proc.children(program.pid)
    equal(len(children), 2, "QEMU and the device")
    os.killpg(program.pid, signal.SIGINT)  # as a terminal does at Ctrl-C
    equal(program.wait(20), 0)
    with open(case.path("console"), encoding="utf-8") as file:
        check("reboot: Restarting system" in file.read(), "the guest ended in order")
    check(not any(map(proc.is_running, children)), "nothing is left of it")
    equal(os.listdir(case.directory), ["console"])


# Images


def image(case, name, *options, agent=None, **more):
    """The result of packaging/image initramfs."""
    command = [IMAGE, "initramfs", "--agent", agent or agent_program(), *options, "-o", case.path(name)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **more)


@test(timeout=60)
def an_image_has_the_same_bytes_every_time(case):
    options = ["--kernel-dir", kernel_directory("6.12")]
    contents = []
    for number, suffix in ((1, "cpio"), (2, "cpio"), (3, "gz"), (4, "gz")):
        name = f"{number}.{suffix}"
        done = image(case, name, *options, umask=0o77 if number % 2 else 0o22)
        equal(done.returncode, 0, done.stderr)
        with open(case.path(name), "rb") as file:
            contents.append(file.read())
    check(contents[0] == contents[1], "two of a kind")
    check(contents[2] == contents[3], "two compressed ones")
    check(len(contents[2]) < len(contents[0]), "compressed is smaller")


@test(timeout=60)
def an_image_is_refused_for_what_it_could_not_contain(case):
    kernel = ["--kernel-dir", kernel_directory("6.12")]
    broken = (
        ("not a static program", image(case, "a", agent="/bin/ls")),
        ("not a program", image(case, "a", agent="/etc/passwd")),
        ("No such file", image(case, "a", agent="/nowhere")),
        ("no module", image(case, "a", *kernel, "--modules", "virtio_blk,no_such_module")),
        ("not the modules of one kernel", image(case, "a", "--kernel-dir", case.directory)),
        ("needs --kernel-dir", image(case, "a", "--modules", "ext4")),
        ("not an absolute path", image(case, "a", "--add", "/etc/passwd:etc/passwd")),
        ("not FILE:PATH", image(case, "a", "--add", "/etc/passwd")),
        ("neither a file", image(case, "a", "--add", "/dev/null:/dev/null")),
    )
    for text, done in broken:
        check(done.returncode == 1 and text in done.stderr, f"{text}: {done}")
        equal(done.stderr.count("\n"), 1, "one line")
    equal(os.listdir(case.directory), [])


if __name__ == "__main__":
    main()
