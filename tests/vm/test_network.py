#!/usr/bin/env python3
"""The network of a real guest, over virtio-net; nothing leaves the machine (restrict=on)."""

import json

from support.guest import Guest, main
from support.tap import check, equal, eventually, test

NIC = "user,restrict=on,net=10.0.2.0/24,ipv6-net=fd00:2::/64"
MAC = "02:00:00:00:00:15"


def booted(guest):
    """A connection to a guest that has done its step for the network, and that step."""
    connection = guest.connect()

    def step():
        return next((s for s in connection.call("guest.boot")["steps"] if s["name"] == "network"), {})

    eventually(lambda: step().get("state") not in (None, "running"), 20, step)
    return connection, step()


def configured(case, *links):
    """A guest whose image has a configuration file with those links."""
    path = case.path("agent.json")
    with open(path, "w", encoding="ascii") as file:
        json.dump({"modules": ["virtio_net"], "network": {"links": list(links)}}, file)
    return booted(Guest(case, image=("--add", f"{path}:/etc/nullspace/agent.json"), nic=NIC))


def interfaces(connection):
    return {i["name"]: i for i in connection.call("net.interfaces")["interfaces"]}


@test(timeout=90)
def a_network_card_is_set_up_and_packets_pass(case):
    for kernel in ("6.12", "6.1"):
        guest = Guest(case, kernel=kernel, nic=NIC, cmdline="ns.modules=virtio_net")
        connection, _ = booted(guest)
        name = next((n for n in interfaces(connection) if n != "lo"), None)
        check(name, f"a network card: {interfaces(connection)}")
        link = {
            "name": name,
            "mac": MAC,
            "mtu": 1400,
            "addresses": ["10.0.2.15/24", "fd00:2::15/64"],
            "routes": [{"to": "default", "via": "10.0.2.2"}, {"to": "default", "via": "fd00:2::2"}],
        }
        for _ in range(2):
            answer = connection.call("net.configure", links=[link], dns_servers=["10.0.2.3"])
            equal(answer["failed"], 0, f"{answer}")
        card = interfaces(connection)[name]
        equal((card["mac"], card["mtu"], card["up"], card["kind"]), (MAC, 1400, True, None))
        check({"10.0.2.15/24", "fd00:2::15/64"} <= {a["address"] for a in card["addresses"]}, f"{card}")
        done = connection.run(["ping", "-c", "1", "-W", "10", "10.0.2.2"])
        equal(done.code, 0, f"{done.stdout} {done.stderr}")
        check(interfaces(connection)[name]["rx_bytes"] > card["rx_bytes"], "bytes are counted")
        equal(connection.run(["cat", "/etc/resolv.conf"]).stdout, b"nameserver 10.0.2.3\n")
        guest.stop()


@test(timeout=60)
def lo_is_up_without_any_configuration(case):
    connection, step = booted(Guest(case))
    equal(step["state"], "done")
    equal({a["address"] for a in interfaces(connection)["lo"]["addresses"]}, {"127.0.0.1/8", "::1/128"})


@test(timeout=60)
def the_configuration_file_sets_the_network_up(case):
    connection, step = configured(
        case, {"name": "eth0", "addresses": ["10.0.2.15/24"], "routes": [{"to": "default", "via": "10.0.2.2"}]}
    )
    equal(step["state"], "done", f"{step}")
    equal(connection.run(["ping", "-c", "1", "-W", "10", "10.0.2.2"]).code, 0)
    routes = {r["to"]: r["via"] for r in connection.call("net.routes")["routes"] if r["family"] == "inet"}
    equal(routes, {"default": "10.0.2.2", "10.0.2.0/24": None})


@test(timeout=60)
def a_link_that_is_missing_fails_the_step_and_nothing_else(case):
    connection, step = configured(case, {"name": "eth7"}, {"name": "eth0", "addresses": ["10.0.2.15/24"]})
    equal((step["state"], step["error"], step["errno"]), ("failed", "NOT_FOUND", "ENODEV"), f"{step}")
    check("eth7" in step["detail"], f"{step}")
    addresses = {a["address"] for a in interfaces(connection)["eth0"]["addresses"]}
    check("10.0.2.15/24" in addresses, f"{addresses}")


if __name__ == "__main__":
    main(kernels=("6.12", "6.1"))
