#!/usr/bin/env python3
"""The root file system of a guest on a disk (ns.root): mounted, grown, left in order, or not at all."""

import os

from support.boot import shell, steps, wait_steps
from support.disk import MIB, PLACES, blank, ext4, run, squashfs, tree
from support.guest import Guest, initramfs, main
from support.machine import Drive
from support.tap import at_most, check, equal, test

# In the initramfs of the tests about its memory.
BULK_MIB = 48


def guest_on(case, *drives, cmdline="", **options):
    return Guest(case, drives=list(drives), cmdline=f"ns.root=/dev/vda {cmdline}", **options)


def root_mount(connection):
    """The options of what is mounted at / now, with the type before them."""
    lines = shell(connection, "cat /proc/mounts").splitlines()
    fields = [line.split() for line in lines if line.split()[1] == "/" and line.split()[2] != "rootfs"]
    return [fields[-1][2], *fields[-1][3].split(",")] if fields else ["rootfs"]


def mib_of(connection, path):
    return int(shell(connection, f"df -m {path} | tail -n 1 | awk '{{ print $(NF-4) }}'"))


def kib_in_memory(connection):
    """What files in memory take; in any kind of initramfs."""
    return int(shell(connection, "awk '/^(Shmem|Unevictable):/ { sum += $2 } END { print sum }' /proc/meminfo"))


def bulky(case):
    """An initramfs that takes much memory."""
    with open(case.path("bulk"), "wb") as file:
        file.write(os.urandom(BULK_MIB * MIB))
    return initramfs("6.12", "--add", f"{case.path('bulk')}:/bulk")


def stays_in_initramfs(case, guest, about):
    """The error of the step; everything else of such a guest works."""
    connection = guest.connect()
    step = steps(connection)["root"]
    equal((step["state"], root_mount(connection)[0]), ("failed", "rootfs"), f"{about}: {step}")
    equal(shell(connection, "ls -d /proc/1 /sys/class /dev/null /run"), "/dev/null\n/proc/1\n/run\n/sys/class")
    equal(wait_steps(connection, "services")["cgroup"]["state"], "done", about)
    return step


@test(timeout=150)
def an_ext4_root_is_used_grown_and_clean_after_the_end(case):
    disk = ext4(case.path("disk"), 48, 160, tree(case.path("root"), release="from the disk\n"))
    guest = guest_on(case, Drive(disk), initramfs_path=bulky(case))
    connection = guest.connect()
    found = wait_steps(connection, "services", "grow")
    equal((found["root"]["state"], found["grow"]["state"]), ("done", "done"), f"{found}")
    options = root_mount(connection)
    check(options[0] == "ext4" and "rw" in options, f"{options}")
    equal(shell(connection, "cat /etc/release"), "from the disk")
    check(mib_of(connection, "/") > 130, "it has the size of its disk")
    at_most(kib_in_memory(connection), BULK_MIB * 1024 // 2, "the initramfs takes no memory")
    connection.run(["/bin/sh", "-c", "head -c 3000000 /dev/urandom >/root/data; sha256sum </root/data >/root/sum"])
    expected = shell(connection, "cat /root/sum")
    connection.call("guest.shutdown")
    equal(guest.wait_end(60), "guest-shutdown")
    check("clean" in run("dumpe2fs", "-h", disk).split("Filesystem state:")[1].splitlines()[0].split(), "unmounted")
    run("e2fsck", "-fn", disk)
    run("debugfs", "-R", f"dump /root/data {case.path('data')}", disk)
    with open(case.path("data"), "rb") as file:
        equal(run("sha256sum", file.name).split()[0], expected.split()[0], "what was written last")


@test(timeout=90)
def a_read_only_root_stays_read_only(case):
    disk = ext4(case.path("disk"), 48, 64, tree(case.path("root")))
    connection = guest_on(case, Drive(disk, read_only=True), cmdline="ro").connect()
    found = wait_steps(connection, "services", "grow")
    equal((found["root"]["state"], found["grow"]["state"]), ("done", "skipped"), f"{found}")
    check("ro" in root_mount(connection), f"{root_mount(connection)}")
    check(connection.run(["touch", "/etc/file"]).code != 0, "nothing can be written")
    equal(shell(connection, "touch /run/file /dev/shm/file; ls /run/file /dev/shm/file"), "/dev/shm/file\n/run/file")


@test(timeout=150)
def a_squashfs_becomes_writable_by_an_overlay_in_memory(case):
    for kernel in ("6.12", "6.1"):
        disk = case.path("disk")
        if not os.path.exists(disk):
            squashfs(disk, tree(case.path("root"), release="packed\n"))
        guest = guest_on(case, Drive(disk, read_only=True), cmdline="ns.overlay=tmpfs", kernel=kernel)
        connection = guest.connect()
        step = steps(connection)["root"]
        equal(step["state"], "done", f"{kernel}: {step}")
        options = root_mount(connection)
        check(options[0] == "overlay" and {"rw", "index=on", "nfs_export=on"} <= set(options), f"{options}")
        equal(shell(connection, "cat /etc/release; echo new >/etc/release; cat /etc/release"), "packed\nnew")
        guest.stop()


@test(timeout=240)
def an_overlay_on_a_disk_is_grown_and_keeps_what_is_written(case):
    lower = squashfs(case.path("lower"), tree(case.path("root"), release="packed\n"))
    upper = ext4(case.path("upper"), 32, 128)
    drives = (Drive(lower, read_only=True), Drive(upper))
    guest = guest_on(case, *drives, cmdline="ns.overlay=/dev/vdb")
    connection = guest.connect()
    found = wait_steps(connection, "services", "grow")
    equal((found["root"]["state"], found["grow"]["state"]), ("done", "done"), f"{found}")
    check({"index=on", "nfs_export=on"} <= set(root_mount(connection)), f"{root_mount(connection)}")
    check(mib_of(connection, "/") > 100, "it has the size of its disk")
    shell(connection, "echo written >/etc/release")
    connection.call("guest.shutdown")
    equal(guest.wait_end(60), "guest-shutdown")
    run("e2fsck", "-fn", upper)
    again = guest_on(case, *drives, cmdline="ns.overlay=/dev/vdb").connect()
    equal(shell(again, "cat /etc/release"), "written")
    equal(wait_steps(again, "grow")["grow"]["state"], "skipped", "it has its size")


@test(timeout=90)
def a_read_only_root_without_the_mount_points_is_left_again(case):
    for number, place in enumerate(PLACES[:2]):
        root = tree(case.path(f"root{number}"), places=[p for p in PLACES if p != place])
        guest = guest_on(case, Drive(squashfs(case.path(f"disk{number}"), root), read_only=True))
        step = stays_in_initramfs(case, guest, place)
        check(f"/{place}" in step["detail"], f"the directory is named: {step}")
        guest.stop()


def damaged(path, directory):
    """A file system whose magic number is right and little else."""
    ext4(path, 32, directory=directory)
    with open(path, "r+b") as file:
        file.seek(1024 + 100)
        file.write(b"\xff" * 700)
    return path


@test(timeout=240)
def a_root_that_cannot_be_mounted_leaves_the_guest_reachable(case):
    broken = damaged(case.path("broken"), tree(case.path("root")))
    whole = ext4(case.path("whole"), 32, directory=case.path("root"))
    faults = (
        ("a missing device", [], "ns.rootwait=300", "NOT_FOUND", "after 300 ms"),
        ("no file system", [Drive(blank(case.path("blank"), 8))], "", "UNSUPPORTED", "no known file system"),
        ("a broken one", [Drive(broken)], "", "SYSTEM", "/dev/vda"),
        ("an unknown type", [Drive(whole)], "ns.rootfstype=nothing", "UNSUPPORTED", "/dev/vda"),
        ("a missing overlay", [Drive(whole)], "ns.overlay=/dev/vdq ns.rootwait=300", "NOT_FOUND", "/dev/vdq"),
    )
    for about, drives, cmdline, name, text in faults:
        guest = guest_on(case, *drives, cmdline=cmdline, initramfs_path=None if drives else bulky(case))
        step = stays_in_initramfs(case, guest, about)
        equal(step["error"], name, f"{about}: {step}")
        check(text in step["detail"], f"{about}: {text} in {step}")
        if not drives:
            check(kib_in_memory(guest.connections[0]) > BULK_MIB * 1024, "the measure of memory shows what is there")
        guest.stop()


if __name__ == "__main__":
    main(kernels=("6.12", "6.1"))
