#!/usr/bin/env python3
"""What packaging/image makes besides an initramfs boots: Debian on a disk, and any root with the agent."""

import functools
import os
import shutil
import signal
import subprocess
import sys

from support.guest import Guest, images_directory, main
from support.machine import TOP, Drive, vm_directory

from support.agent import agent_program, launch, needs, nsctl_program
from support.tap import check, equal, test

IMAGE = os.path.join(TOP, "packaging/image")
SECONDS = 400  # the first time debootstrap has to run


def image(kind, *arguments, environment=None, **options):
    command = [sys.executable, IMAGE, kind, "--agent", agent_program(), *arguments]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "0", **(environment or {})}
    subprocess.run(command, check=True, timeout=SECONDS, env=environment, **options)


@functools.lru_cache(maxsize=None)
def debian():
    """The path of a disk with Debian, not to be written to."""
    path = os.path.join(images_directory(), "debian.ext4")
    image("ext4", "-o", path)
    return path


def template():
    """The tar that it was made from."""
    debian()
    return os.path.join(vm_directory(), "template-bookworm-minimal-0.tar")


def needs_debian():
    needs(shutil.which("debootstrap"), "there is no debootstrap (packaging/install-dependencies --vm)")


def on_disk(case, path, discard=True, **options):
    return Guest(case, drives=[Drive(path, discard=discard)], cmdline="ns.root=/dev/vda", **options)


def output(guest, *command):
    done = guest.nsctl("run", "--", *command)
    equal((done.returncode, done.stderr), (0, b""), command)
    return done.stdout.decode()


@test(timeout=SECONDS, root=True)
def a_debian_on_a_disk_boots_on_both_kernels(case):
    needs_debian()
    for kernel in ("6.12", "6.1"):
        guest = on_disk(case, debian(), kernel=kernel)
        check(output(guest, "apt-get", "--version").startswith("apt "), "apt-get runs")
        equal(output(guest, "bash", "-c", "echo $((6 * 7)) ${BASH_VERSION:0:1}"), "42 5\n")
        equal(output(guest, "readlink", "/sbin/init"), "nullspace-agent\n")
        equal(output(guest, "stat", "-fc", "%T", "/"), "ext2/ext3\n")
        equal(output(guest, "dpkg", "--audit"), "", "the packages are whole")
        guest.stop()


@test(timeout=SECONDS, root=True)
def users_of_the_image_are_real_users(case):
    needs_debian()
    guest = on_disk(case, debian())
    output(guest, "useradd", "-m", "-u", "1234", "somebody")
    command = "id -un; id -u; cd; pwd; touch mine; stat -c %U mine; cat /etc/shadow 2>/dev/null || echo secret"
    equal(output(guest, "su", "somebody", "-c", command), "somebody\n1234\n/home/somebody\nsomebody\nsecret\n")
    equal(output(guest, "stat", "-c", "%a %U:%G", "/etc/shadow", "/usr/bin/su"), "640 root:shadow\n4755 root:root\n")


@test(timeout=SECONDS, root=True)
def what_the_guest_wrote_is_on_the_disk_and_the_disk_is_clean(case):
    needs_debian()
    disk = case.path("disk")
    subprocess.run(["cp", "--sparse=always", debian(), disk], check=True)
    guest = on_disk(case, disk, discard=False)
    output(guest, "sh", "-c", "echo kept >/workspace/file")
    guest.ctrl_alt_delete()
    guest.wait_end()
    checked = subprocess.run(["e2fsck", "-fn", disk], capture_output=True, text=True, timeout=60, check=False)
    equal(checked.returncode, 0, checked.stdout)
    check("recover" not in checked.stdout + checked.stderr, "no journal was left to replay")
    done = subprocess.run(["debugfs", "-R", "cat /workspace/file", disk], capture_output=True, timeout=60, check=True)
    equal(done.stdout, b"kept\n")


@test(timeout=SECONDS, root=True)
def a_disk_has_the_same_bytes_every_time(case):
    needs_debian()
    environment = {"TMPDIR": case.directory, "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    image("ext4", "-o", case.path("disk"), umask=0o77, environment=environment)
    equal(subprocess.run(["cmp", debian(), case.path("disk")], check=False).returncode, 0)


@test(timeout=SECONDS, root=True)
def a_tar_with_the_agent_added_boots_by_the_vm_program(case):
    needs_debian()
    tar = case.path("root.tar.gz")
    image("rootfs", "--init", template(), "-o", tar)
    with open(case.path("console"), "wb") as console:
        command = [sys.executable, os.path.join(TOP, "packaging/vm"), "--agent", agent_program(), "--root", tar]
        program = launch(case, command, stdout=subprocess.PIPE, stderr=console)
    name, _, url = program.stdout.readline().decode().strip().partition("=")
    equal(name, "NSCTL_CONNECT")
    command = [nsctl_program(), "-c", url, "run", "--", "sh", "-c", "grep ' / ' /proc/mounts; ls /sbin/nullspace-agent"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)
    equal(done.returncode, 0, done.stderr)
    check(done.stdout.startswith("/dev/vda / ext4 ") and done.stdout.endswith("agent\n"), done.stdout)
    program.send_signal(signal.SIGINT)
    equal(program.wait(20), 0)


if __name__ == "__main__":
    main(kernels=("6.12", "6.1"))
