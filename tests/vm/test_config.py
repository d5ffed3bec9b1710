#!/usr/bin/env python3
"""The configuration file and the kernel command line of a guest: obeyed, and when wrong, told."""

import json
import socket
import time

from support.boot import log_text, shell, steps, wait_steps
from support.disk import ext4
from support.guest import Guest, main
from support.machine import Drive
from support.tap import check, equal, eventually, scaled, test

NIC = "user,restrict=on,net=10.0.2.0/24"
PATH = "/etc/nullspace/agent.json"


def configured(case, config, name="agent.json", **options):
    """A guest with that configuration: a value, or the text of the file."""
    with open(case.path(name), "w", encoding="ascii") as file:
        file.write(config if isinstance(config, str) else json.dumps(config))
    return Guest(case, image=("--add", f"{case.path(name)}:{PATH}"), **options)


def services(connection):
    return {service["name"]: service for service in connection.call("service.list")["services"]}


FULL = {
    "hostname": "north",
    "domain": "example.net",
    "hosts": ["10.0.2.9 store.example.net store"],
    "sysctl": {"net.ipv4.ip_forward": "1", "kernel.core_pattern": "core.%p"},
    "modules": ["tun", "virtio_net"],
    "environment": {"LANG": "C.UTF-8"},
    "network": {
        "links": [
            {"name": "eth0", "addresses": ["10.0.2.15/24"], "routes": [{"to": "default", "via": "10.0.2.2"}]},
        ],
        "dns_servers": ["10.0.2.3"],
        "dns_search": ["example.net"],
    },
    "mounts": [
        {"source": "/dev/vda", "target": "/data", "type": "ext4", "options": "noatime", "required": True},
        {"source": "scratch", "target": "/data/scratch", "type": "tmpfs", "options": "size=1m,ro"},
        {"source": "/dev/nothing", "target": "/absent", "type": "ext4"},
    ],
    "mount_tmp": True,
    "services": [
        {"name": "first", "command": "sleep 0.5; hostname >/data/order; ls /data/scratch", "wait": True},
        {"name": "second", "command": "cat /data/order; echo $LANG $MORE", "environment": {"MORE": "more"}},
        {
            "name": "again",
            "argv": ["/bin/sh", "-c", "exit 3"],
            "restart": "on-failure",
            "restart_delay_ms": 10,
            "restart_max": 3,
        },
        {"name": "steady", "argv": ["sleep", "10000"], "restart": "always"},
        {"name": "absent", "argv": ["/no/such/program"]},
    ],
}


def check_identity(connection):
    equal(shell(connection, "hostname; cat /etc/hostname"), "north\nnorth")
    hosts = shell(connection, "cat /etc/hosts").splitlines()
    check({"10.0.2.9 store.example.net store", "127.0.1.1 north.example.net north"} <= set(hosts), f"{hosts}")
    equal(shell(connection, "cat /etc/resolv.conf").split(), "nameserver 10.0.2.3 search example.net".split())
    equal(len(shell(connection, "cat /etc/machine-id")), 32)
    equal(shell(connection, "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/core_pattern"), "1\ncore.%p")


def check_mounts(connection):
    mounts = {mount["target"]: mount for mount in connection.call("guest.mounts")["mounts"]}
    equal((mounts["/data"]["type"], mounts["/data"]["read_only"]), ("ext4", False))
    equal((mounts["/data/scratch"]["type"], mounts["/data/scratch"]["read_only"]), ("tmpfs", True))
    check("/tmp" in mounts and "/absent" not in mounts, f"{list(mounts)}")
    check(" /data ext4 rw,nosuid,nodev,noatime" in shell(connection, "cat /proc/mounts"), "its options")


@test(timeout=90)
def a_full_configuration_is_carried_out(case):
    guest = configured(case, FULL, nic=NIC, drives=[Drive(ext4(case.path("disk"), 16))])
    connection = guest.connect()
    found = wait_steps(connection, "services", "modules", "volumes", "network", "sysctl", "identity")
    failed = {name: step for name, step in found.items() if step["state"] == "failed"}
    check(set(failed) <= {"absent", "service.absent"}, f"nothing else fails: {failed}")
    check_identity(connection)
    check_mounts(connection)
    check("/absent" in found["volumes"]["detail"], f"an optional mount is told: {found['volumes']}")
    equal(connection.run(["ping", "-c", "1", "-W", "10", "10.0.2.2"], timeout=30).code, 0)
    equal(shell(connection, "ls /dev/net/tun; echo $LANG"), "/dev/net/tun\nC.UTF-8")

    done = ("ended", "failed")
    eventually(lambda: services(connection)["again"]["state"] in done, 30, lambda: f"{services(connection)}")
    eventually(lambda: services(connection)["second"]["state"] in done, 30, lambda: f"{services(connection)}")
    all_of_them = services(connection)
    equal(list(all_of_them), [service["name"] for service in FULL["services"]], "their order")
    equal((all_of_them["again"]["state"], all_of_them["again"]["restarts"]), ("failed", 3))
    equal(all_of_them["again"]["exit"]["code"], 3)
    equal((all_of_them["steady"]["state"], all_of_them["steady"]["starts"]), ("running", 1))
    equal(all_of_them["absent"]["state"], "failed")
    check("/no/such/program" in json.dumps(all_of_them["absent"]["failure"]), f"{all_of_them['absent']}")
    second = connection.attach("service.second")
    second.wait()
    equal(second.channels[2].bytes, b"north\nC.UTF-8 more\n", "what came before it was waited for")


@test(timeout=60)
def a_steady_service_that_is_killed_comes_back(case):
    connection = configured(
        case, {"services": [{"name": "s", "argv": ["sleep", "1000"], "restart": "always", "restart_delay_ms": 10}]}
    ).connect()
    wait_steps(connection, "services")
    first = eventually(lambda: services(connection)["s"]["pid"], 20, "it runs")
    shell(connection, f"kill -9 {first}")
    second = eventually(
        lambda: services(connection)["s"]["pid"] not in (None, first) and services(connection)["s"], 20, "it runs again"
    )
    equal((second["state"], second["restarts"], second["exit"]["signal"]), ("running", 1, 9), f"{second}")


@test(timeout=90)
def the_guest_ends_with_its_services_when_that_is_wanted(case):
    wait = "while [ ! -e /run/go ]; do sleep 0.1; done"
    wishes = (
        ({"services": [{"name": "one", "command": wait, "on_exit": "poweroff"}]}, "guest-shutdown"),
        ({"services": [{"name": "one", "command": wait, "on_exit": "reboot"}]}, "guest-reset"),
        (
            {
                "services": [{"name": "one", "command": wait}, {"name": "two", "argv": ["true"]}],
                "shutdown_when_idle": True,
            },
            "guest-shutdown",
        ),
    )
    for number, (config, end) in enumerate(wishes):
        guest = configured(case, config, name=f"{number}.json")
        connection = guest.connect()
        eventually(lambda: services(connection).get("one", {}).get("state") == "running", 20, "the service runs")
        shell(connection, "touch /run/go")
        equal(guest.wait_end(40), end, f"{config}")


def read_announcement(listener, answer=b"OK\n"):
    """What the guest says, and the answer given to it."""
    link, _ = listener.accept()
    with link:
        link.settimeout(scaled(20))
        line = b""
        while not line.endswith(b"\n"):
            part = link.recv(256)
            if not part:
                return None
            line += part
        link.sendall(answer)
        link.shutdown(socket.SHUT_WR)
        link.recv(1)
    return json.loads(line)


@test(timeout=90)
def the_host_is_told_that_the_guest_is_ready_until_it_says_so(case):
    guest = configured(case, {"announce_port": 1025})
    connection = guest.connect()
    wait_steps(connection, "services")
    equal(steps(connection)["announce"]["state"], "running", "nobody has listened yet")
    with guest.listener(1025) as listener:
        listener.settimeout(scaled(30))
        check(read_announcement(listener, b"NO\n"), "it says something")
        equal(steps(connection)["announce"]["state"], "running", "another answer than OK does not count")
        said = read_announcement(listener)
        equal((said["nullspace"], said["generation"], said["port"]), ("ready", 1, 1024), f"{said}")
        equal(said["boot_id"], connection.call("info")["boot_id"])
        wait_steps(connection, "announce")
        listener.settimeout(0.5)
        try:
            listener.accept()[0].close()
            check(False, "it goes on though it was heard")
        except TimeoutError:
            pass


@test(timeout=60)
def the_clock_comes_from_the_host_unless_that_is_not_wanted(case):
    for number, wanted in enumerate((True, False)):
        guest = configured(case, {"clock_from_host": wanted}, name=f"{number}.json")
        connection = guest.connect()
        wait_steps(connection, "services")
        shell(connection, "date -s '2001-02-03 04:05:06'")
        with guest.connect(hello=False) as another:
            another.call("hello", client="test", time_ns=str(time.time_ns()))
            year = int(shell(another, "date +%Y"))
        equal(year > 2020, wanted, f"the year is {year}")
        guest.stop()


# What is wrong


def fault_of(connection, text):
    """Whether the host can read it."""
    told = json.dumps(connection.call("guest.boot")["steps"])
    return text in told.replace('\\"', '"') or text in log_text(connection)


@test(timeout=150)
def a_wrong_configuration_is_told_and_the_guest_is_up(case):
    unknown = json.dumps({"hostname": "x", "servces": []}, indent=1)
    faults = (
        ("broken JSON", '{\n "hostname": "x",\n "hosts": [1,\n}\n', ("line 4",)),
        ("an unknown member", unknown, ("servces", "line 3")),
        (
            "a wrong value",
            {"services": [{"name": "s", "argv": ["a"], "restart": "maybe"}]},
            ("services[0].restart", "on-failure"),
        ),
        ("an empty file", "", ("line 1",)),
    )
    for number, (about, config, texts) in enumerate(faults):
        guest = configured(case, config, name=f"{number}.json")
        connection = guest.connect()
        wait_steps(connection, "services")
        for text in texts:
            check(fault_of(connection, text), f"{about}: {text} in {steps(connection)} {log_text(connection)}")
        check(any(step["state"] == "failed" for step in steps(connection).values()), f"{about}: {steps(connection)}")
        equal(shell(connection, "echo works"), "works", about)
        guest.stop()


@test(timeout=90)
def what_is_not_there_is_told_and_the_rest_is_done(case):
    config = {
        "hostname": "north",
        "modules": ["no_such_module"],
        "sysctl": {"no.such.setting": "1", "net.ipv4.ip_forward": "1"},
        "network": {"links": [{"name": "eth7", "addresses": ["10.0.2.15/24"]}]},
        "mounts": [{"source": "/dev/vdq", "target": "/data", "type": "ext4", "required": True}],
        "services": [{"name": "absent", "argv": ["/no/such/program"]}, {"name": "there", "argv": ["sleep", "1000"]}],
    }
    connection = configured(case, config).connect()
    found = wait_steps(connection, "services", "modules", "sysctl", "network", "volumes")
    for name, text in (
        ("modules", "no_such_module"),
        ("sysctl", "no.such.setting"),
        ("network", "eth7"),
        ("volumes", "/data"),
    ):
        step = found[name]
        check(step["state"] == "failed" and text in step["detail"], f"{name}: {text} in {step}")
    eventually(lambda: services(connection)["absent"]["state"] == "failed", 20, lambda: f"{services(connection)}")
    check(fault_of(connection, "/no/such/program"), "why the service does not run")
    eventually(lambda: services(connection)["there"]["state"] == "running", 20, "the other service runs")
    equal(shell(connection, "hostname; cat /proc/sys/net/ipv4/ip_forward"), "north\n1", "the rest is done")


@test(timeout=90)
def unknown_words_of_the_command_line_are_told_and_known_ones_obeyed(case):
    words = 'ns.colour=blue ns.role=what ns.log_level=debug ns.workspace="/a place" ns.modules=no_such_module single'
    guest = Guest(case, cmdline=words)
    connection = guest.connect()
    found = wait_steps(connection, "services")
    for word in ("ns.colour", "ns.role"):
        check(fault_of(connection, word), f"{word} in {found}")
    equal(found["drivers"]["state"], "failed")
    check(fault_of(connection, "no_such_module"), f"{found['drivers']} {log_text(connection)}")
    equal(shell(connection, "echo works"), "works")


if __name__ == "__main__":
    main()
