#!/usr/bin/env python3
"""The agent as the init of an arm64 guest, with its vsock where Firecracker has it: not on the PCI bus."""

import hashlib
import os
import re
import signal
import subprocess

from support.boot import shell, wait_steps
from support.guest import Guest, arm64_agent, main
from support.machine import TOP, kernel_directory

from support.agent import agent_program
from support.tap import Skip, check, equal, eventually, test
from support.wire import Lost

# What the end takes beyond the grace: agent, disks, and an emulated processor.
END_SECONDS = 30
PART_BYTES = 200000
PARTS = 40
TRIPLET = "aarch64-linux-gnu"
# Those of the suites packaging/arm64 cannot run that take seconds: qemu-user has neither all of clone nor
# all of netlink.
UNIT_SUITES = (
    "budget",
    "deadlines",
    "ends",
    "fault_net",
    "hostinfo",
    "launch",
    "procstat",
    "proctree",
    "spawn_child",
    "steps",
    "sweep",
)
UNIT_SECONDS = 300


def ready(case, mmio=True, **options):
    guest = Guest(case, arch="arm64", mmio=mmio, **options)
    return guest, guest.connect()


@test(timeout=120)
def a_guest_boots_and_runs_commands_with_its_vsock_on_mmio_or_on_pci(case):
    for mmio, place in ((True, "virtio_mmio"), (False, "pci")):
        guest, connection = ready(case, mmio)
        steps = wait_steps(connection, "services", "grow")
        failed = {name: step for name, step in steps.items() if step["state"] not in ("done", "skipped")}
        equal(failed, {}, place)
        equal(shell(connection, "uname -m"), "aarch64")
        devices = shell(connection, "readlink -f /sys/bus/virtio/drivers/vmw_vsock_virtio_transport/virtio*")
        check(place in devices, f"the vsock is {devices}")
        done = guest.nsctl("run", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
        equal((done.returncode, done.stdout, done.stderr), (7, b"out\n", b"err\n"))
        equal(guest.nsctl("run", "--", "sh", "-c", "kill -9 $$").returncode, 128 + signal.SIGKILL)
        guest.stop()


def kill_agent(guest):
    """From inside; the answer of that call may or may not arrive."""
    with guest.connect() as connection:
        agent = connection.call("info")["pid"]
        try:
            connection.call("process.start", argv=["/bin/kill", "-KILL", str(agent)])
            connection.wait_lost()
        except Lost:
            pass
    guest.wait_listening()


def line_of(connection):
    return int(shell(connection, "cat /tmp/at 2>/dev/null || echo -1") or -1)


@test(timeout=120)
def output_is_whole_though_the_agent_is_killed_in_the_middle(case):
    guest, connection = ready(case)
    wait_steps(connection, "services")
    shell(connection, f"head -c {PART_BYTES} /dev/urandom >/tmp/part")
    part = guest.nsctl("run", "--", "cat", "/tmp/part").stdout
    repeat = f"for i in $(seq {PARTS}); do cat /tmp/part; echo $i >/tmp/at; sleep 0.2; done; exit 5"
    reader = case.thread(lambda: guest.nsctl("run", "--", "sh", "-c", repeat, seconds=100))
    eventually(lambda: line_of(connection) > 3, 30, "it is in the middle")
    kill_agent(guest)
    connection = guest.connect()
    check(reader.running and line_of(connection) < PARTS, "it was killed in the middle")
    done = reader.join(100)
    equal((done.returncode, len(done.stdout)), (5, PARTS * PART_BYTES), done.stderr)
    equal(hashlib.sha256(done.stdout).hexdigest(), hashlib.sha256(part * PARTS).hexdigest(), "every byte once")
    equal(connection.call("info")["generation"], 2, "by two agents")


@test(timeout=120)
def a_guest_is_powered_off_and_reset_by_its_firmware(case):
    for action, reason in (("poweroff", "guest-shutdown"), ("reboot", "guest-reset")):
        guest, connection = ready(case)
        wait_steps(connection, "services")
        connection.call("guest.shutdown", action=action)
        equal(connection.wait_lost(END_SECONDS)["data"]["name"], "SHUTTING_DOWN", action)
        connection.close()
        equal(guest.wait_end(END_SECONDS), reason, action)


@test(timeout=30)
def an_image_of_programs_for_different_machines_is_refused(case):
    busybox = os.path.join(kernel_directory("arm64"), "bin/busybox")
    for agent, other in ((agent_program(), busybox), (arm64_agent(), "/bin/busybox")):
        command = [os.path.join(TOP, "packaging/image"), "initramfs", "--agent", agent, "--busybox", other]
        done = subprocess.run([*command, "-o", case.path("image")], capture_output=True, text=True, check=False)
        equal(done.returncode, 1)
        check("different machines" in done.stderr, done.stderr)
    equal(os.listdir(case.directory), [])


def unit_programs():
    """The unit tests, and what they need of a system, as options of packaging/image."""
    programs = os.path.join(os.path.dirname(arm64_agent()), "tests/unit")
    added = {f"{programs}/test_{name}": f"/unit/test_{name}" for name in UNIT_SUITES}
    for name in ("ld-linux-aarch64.so.1", "libc.so.6", "libgcc_s.so.1", "libm.so.6"):
        added[os.path.realpath(f"/usr/{TRIPLET}/lib/{name}")] = f"/lib/{name}"
    for path in added:
        if not os.path.exists(path):
            raise Skip(f"there is no {path} (packaging/arm64 guest)")
    return [word for path, name in added.items() for word in ("--add", f"{path}:{name}")]


@test(timeout=UNIT_SECONDS)
def the_unit_tests_pass_that_qemu_user_cannot_run(case):
    guest, connection = ready(case, image=unit_programs(), memory_mib=512, time_limit=UNIT_SECONDS)
    wait_steps(connection, "services")
    for name in UNIT_SUITES:
        command = f"cd /tmp && CK_TIMEOUT_MULTIPLIER=4 /unit/test_{name} 2>/tmp/errors"
        done = connection.run(["/bin/sh", "-c", command], timeout=UNIT_SECONDS)
        lines = done.stdout.decode(errors="replace").splitlines()
        told = [line for line in lines if not re.match(r"ok \d+ |1\.\.\d+$", line)]
        equal((done.exit.get("code"), told), (0, []), name)
        passed = [line for line in lines if line.startswith("ok ") and "# SKIP" not in line]
        check(2 * len(passed) > len(lines), f"most of it is not skipped: {lines}")


if __name__ == "__main__":
    main(kernels=("arm64",), arch="arm64")
