#!/usr/bin/env python3
"""What the agent does to a guest at boot: its steps, the services, the announcement to the host."""

import json
import os
import shutil
import subprocess

from support.guest import Guest, main
from support.machine import Drive
from support.tap import check, equal, eventually, scaled, test
from support.wire import Lost

MIB = 1 << 20
BUSYBOX = "/bin/busybox"


def configured(case, name="agent.json", **members):
    """Options for packaging/image that put a configuration file into the guest."""
    path = case.path(name)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(members, file)
    return ("--add", f"{path}:/etc/nullspace/agent.json")


def steps(connection, by="agent"):
    """The steps, once none is running but the announcement."""

    def settled():
        found = {s["name"]: s for s in connection.call("guest.boot")["steps"] if s["by"] == by}
        running = [name for name, s in found.items() if s["state"] == "running" and name != "announce"]
        return found if "services" in found and not running else None

    return eventually(settled, 20, "the boot steps are done")


def output(connection, command):
    return connection.run(["/bin/sh", "-c", command]).stdout.decode().strip()


def disk(case, name, file_system_mib, disk_mib, tree=None):
    """An ext4 file system on a disk that is larger."""
    path = case.path(name)
    with open(path, "wb") as file:
        file.truncate(file_system_mib * MIB)
    command = ["mkfs.ext4", "-q", "-F", path]
    subprocess.run([*command, *(["-d", tree] if tree else [])], check=True, timeout=scaled(20))
    os.truncate(path, disk_mib * MIB)
    return Drive(path)


def plain_root(case):
    """A tree with a shell, to be a root file system."""
    tree = case.path("tree")
    for name in ("bin", "dev", "etc/nullspace", "proc", "run", "sys", "tmp", "workspace"):
        os.makedirs(os.path.join(tree, name))
    shutil.copy(BUSYBOX, os.path.join(tree, "bin/busybox"))
    for name in ("sh", "cat", "df", "grep", "ls"):
        os.symlink("busybox", os.path.join(tree, "bin", name))
    return tree


@test(timeout=120)
def the_configuration_is_carried_out(case):
    for kernel in ("6.12", "6.1"):
        image = configured(
            case,
            hostname="guest-7",
            domain="example.org",
            hosts=["10.0.0.9 db"],
            sysctl={"kernel.panic": "7"},
            modules=["tun"],
            mounts=[
                {"source": "deep", "target": "/data/deep", "type": "tmpfs"},
                {"source": "data", "target": "/data", "type": "tmpfs", "options": "noexec"},
                {"source": "/dev/vda", "target": "/disk", "type": "ext4", "required": True},
            ],
            services=[
                {"name": "one", "command": "echo one >>/run/log; exec sleep 1000"},
                {"name": "bad", "argv": ["/nowhere"]},
            ],
        )
        guest = Guest(case, kernel=kernel, image=image, drives=[disk(case, f"{kernel}.img", 8, 8)])
        connection = guest.connect()
        done = steps(connection)
        states = {name: step["state"] for name, step in done.items()}
        expected = {"mounts", "modules", "nodes", "sysctl", "identity", "network", "volumes", "services", "service.one"}
        equal({name for name in expected if states.get(name) != "done"}, set(), f"{kernel}: {done}")
        equal((states["grow"], states["announce"], states["service.bad"]), ("skipped", "skipped", "failed"), f"{done}")
        equal(output(connection, "hostname; cat /etc/hostname"), "guest-7\nguest-7")
        check("127.0.1.1 guest-7.example.org guest-7\n10.0.0.9 db\n" in output(connection, "cat /etc/hosts"), "hosts")
        equal(len(output(connection, "cat /etc/machine-id")), 32)
        equal(output(connection, "cat /proc/sys/kernel/panic"), "7")
        mounts = output(connection, "cat /proc/mounts").splitlines()
        targets = [line.split()[1] for line in mounts]
        for target in ("/dev/shm", "/dev/mqueue", "/data", "/data/deep", "/disk"):
            check(target in targets, f"{target} is mounted: {mounts}")
        check(any(" /data tmpfs" in line and "noexec" in line and "nosuid" in line for line in mounts), f"{mounts}")
        equal(output(connection, "ls /dev/fuse /dev/net/tun"), "/dev/fuse\n/dev/net/tun")
        equal(output(connection, "cat /run/log"), "one")
        guest.stop()


@test(timeout=120)
def an_agent_that_takes_over_does_no_step_again(case):
    image = configured(case, hostname="guest-7", services=[{"name": "one", "command": "exec sleep 1000"}])
    guest = Guest(case, image=image)
    with guest.connect() as connection:
        before = steps(connection)
        pid = connection.call("service.list")["services"][0]["pid"]
        connection.run(["/bin/hostname", "changed"])
        agent = connection.call("info")["pid"]
        try:
            connection.call("process.start", argv=["/bin/kill", "-KILL", str(agent)])
            connection.wait_lost()
        except Lost:
            pass
    guest.wait_listening()
    connection = guest.connect()
    equal(steps(connection), before)
    equal(output(connection, "hostname"), "changed")
    now = connection.call("service.list")["services"][0]
    equal((now["pid"], now["starts"]), (pid, 1))


@test(timeout=120)
def the_root_file_system_grows_to_its_disk(case):
    root = disk(case, "root.img", 24, 96, plain_root(case))
    guest = Guest(case, drives=[root], cmdline="ns.root=/dev/vda rw")
    connection = guest.connect()
    step = steps(connection)["grow"]
    equal(step["state"], "done", f"{step}")
    size = int(output(connection, "df -m / | grep -v Filesystem").split()[1])
    check(80 <= size <= 96, f"MiB of the root file system: {size}; {step}")


@test(timeout=120)
def the_writable_layer_of_an_overlay_grows(case):
    root = disk(case, "root.img", 24, 24, plain_root(case))
    layer = disk(case, "layer.img", 16, 64)
    guest = Guest(case, drives=[root, layer], cmdline="ns.root=/dev/vda ns.overlay=/dev/vdb")
    connection = guest.connect()
    step = steps(connection)["grow"]
    equal(step["state"], "done", f"{step}")
    size = int(output(connection, "df -m / | grep -v Filesystem").split()[1])
    check(48 <= size <= 64, f"MiB of the writable layer: {size}; {step}")


@test(timeout=120)
def the_host_is_told_that_the_guest_is_ready(case):
    port = 5555
    guest = Guest(case, start=False, image=configured(case, announce_port=port))
    listener = guest.listener(port)
    guest.start()
    connection, _ = listener.accept()
    with connection, connection.makefile("rb") as reader:
        told = json.loads(reader.readline())
        equal((told["nullspace"], told["generation"]), ("ready", 1))
        guest.wait_listening()
        with guest.connect() as client:
            equal(client.call("guest.boot")["running"], 1, "the announcement is under way")
        connection.sendall(b"OK\n")
        equal(reader.readline(), b"")
    client = guest.connect()
    eventually(lambda: steps(client)["announce"]["state"] == "done", 5, "the announcement is done")
    equal(told["boot_id"], client.call("info")["boot_id"])


if __name__ == "__main__":
    main(kernels=("6.12", "6.1"))
