#!/usr/bin/env python3
"""The network of a guest: net.interfaces, net.routes, net.configure, and nsctl net. Each test has a
network namespace of its own."""

import json
import os
import subprocess

from support.agent import nsctl_program
from support.expect import fails, python
from support.netns import Guest
from support.tap import check, equal, eventually, main, scaled, test
from support.wire import STDOUT

MAC = "02:00:00:00:00:01"
FULL = {
    "name": "v0",
    "mac": MAC,
    "mtu": 1400,
    "addresses": ["10.0.0.2/24", "fd00::2/64"],
    "routes": [
        {"to": "default", "via": "10.0.0.1"},
        {"to": "10.9.0.0/16", "via": "10.0.0.3", "metric": 7},
        {"to": "default", "via": "fd00::1"},
        {"to": "fd09::/48", "via": "fd00::3", "metric": 9},
    ],
    "neighbours": [
        {"address": "10.0.0.1", "mac": "02:00:00:00:00:99"},
        {"address": "fd00::1", "mac": "02:00:00:00:00:99"},
    ],
}


def failures(changes):
    return {(c["action"], c.get("interface"), c.get("value")): c["error"] for c in changes if "error" in c}


def expect_full(guest):
    link = guest.link("v0")
    equal((link["address"], link["mtu"], "UP" in link["flags"]), (MAC, 1400, True))
    equal(guest.addresses("v0"), {"10.0.0.2/24"})
    equal(guest.addresses("v0", "inet6"), {"fd00::2/64"})
    equal(
        guest.routes("v0"), {"default": ("10.0.0.1", None, []), "10.9.0.0/16": ("10.0.0.3", 7, [])}
    )
    equal(
        guest.routes("v0", "-6"),
        {"default": ("fd00::1", 1024, []), "fd09::/48": ("fd00::3", 9, [])},
    )
    equal(guest.neighbours("v0"), {"10.0.0.1": "02:00:00:00:00:99", "fd00::1": "02:00:00:00:00:99"})


# Looking


@test(root=True)
def interfaces_are_those_of_the_kernel(case):
    guest = Guest(case)
    guest.add_pair()
    guest.ip("addr", "add", "10.1.0.2/24", "dev", "v0")
    guest.ip("link", "set", "v0", "up")
    told = {i["name"]: i for i in guest.connection.call("net.interfaces")["interfaces"]}
    equal(set(told), {"lo", "v0", "v1"})
    link = guest.link("v0")
    found = told["v0"]
    equal((found["index"], found["mac"], found["mtu"]), (link["ifindex"], link["address"], link["mtu"]))
    equal((found["kind"], found["up"], found["carrier"], found["state"]), ("veth", True, True, "up"))
    check({"address": "10.1.0.2/24", "scope": "global", "tentative": False} in found["addresses"], f"{found}")
    equal((told["lo"]["kind"], told["lo"]["up"], told["lo"]["addresses"]), (None, False, []))


@test(root=True)
def counters_count(case):
    guest = Guest(case)
    guest.configure_well()
    before = {i["name"]: i for i in guest.connection.call("net.interfaces")["interfaces"]}["lo"]
    send = "import socket; socket.socket(2, 2).sendto(b'x' * 1000, ('127.0.0.1', 9))"
    guest.run(*python(send))
    after = {i["name"]: i for i in guest.connection.call("net.interfaces")["interfaces"]}["lo"]
    for direction in ("rx", "tx"):
        check(after[f"{direction}_bytes"] >= before[f"{direction}_bytes"] + 1000, f"{after}")
        check(after[f"{direction}_packets"] > before[f"{direction}_packets"], f"{after}")


@test(root=True)
def routes_are_those_of_the_main_table(case):
    guest = Guest(case)
    guest.add_pair()
    guest.ip("addr", "add", "10.1.0.2/24", "dev", "v0")
    guest.ip("link", "set", "v0", "up")
    guest.ip("route", "add", "default", "via", "10.1.0.1", "metric", "5")
    guest.ip("route", "add", "10.3.0.0/16", "nexthop", "via", "10.1.0.3", "nexthop", "via", "10.1.0.4")
    guest.ip("route", "add", "blackhole", "10.4.0.0/16")
    told = {r["to"]: r for r in guest.connection.call("net.routes")["routes"] if r["family"] == "inet"}
    equal(set(told), {"default", "10.1.0.0/24", "10.3.0.0/16", "10.4.0.0/16"})
    route = told["default"]
    equal((route["via"], route["interface"], route["metric"], route["type"]), ("10.1.0.1", "v0", 5, "unicast"))
    equal((told["10.1.0.0/24"]["protocol"], told["10.1.0.0/24"]["scope"]), ("kernel", "link"))
    equal((told["10.3.0.0/16"]["hops"], told["10.3.0.0/16"]["via"]), (2, "10.1.0.3"))
    equal((told["10.4.0.0/16"]["type"], told["10.4.0.0/16"]["interface"]), ("blackhole", None))


# Configuring


@test(root=True)
def nothing_brings_lo_up(case):
    guest = Guest(case)
    equal(guest.configure_well(), [{"action": "up", "interface": "lo"}])
    equal(guest.addresses("lo"), {"127.0.0.1/8"})
    equal(guest.addresses("lo", "inet6"), {"::1/128"})


@test(root=True)
def a_link_is_set_up_whole(case):
    guest = Guest(case)
    guest.add_pair()
    changes = guest.configure_well(FULL)
    equal([c["action"] for c in changes].count("route"), 4, f"{changes}")
    expect_full(guest)
    (found,) = guest.ip("-6", "addr", "show", "dev", "v0", "scope", "global")
    check(not found["addr_info"][0].get("tentative"), f"usable at once: {found}")


@test(root=True)
def the_same_twice_is_no_error_and_changes_nothing(case):
    guest = Guest(case)
    guest.add_pair()
    guest.configure_well(FULL)
    for flush in (False, True, True):
        changes = guest.configure_well(dict(FULL, flush=flush))
        check(not {"down", "mac"} & {c["action"] for c in changes}, f"{changes}")
        check(not any(c["action"].startswith("remove") for c in changes), f"{changes}")
        expect_full(guest)


@test(root=True)
def flush_leaves_only_what_is_named(case):
    guest = Guest(case)
    guest.configure_well()
    guest.add_pair()
    guest.add_pair("w0", "w1")
    for link, net in (("v0", 1), ("w0", 2)):
        for host in (2, 3):
            guest.ip("addr", "add", f"10.{net}.0.{host}/24", "dev", link)
        guest.ip("-6", "addr", "add", f"fd0{net}::2/64", "dev", link, "nodad")
        guest.ip("link", "set", link, "up")
        guest.ip("route", "add", f"10.{net}1.0.0/16", "via", f"10.{net}.0.1")
        guest.ip("-6", "route", "add", f"fd{net}1::/48", "via", f"fd0{net}::1")
        guest.ip("neigh", "add", f"10.{net}.0.77", "lladdr", "02:00:00:00:00:77", "dev", link)
    guest.ip("route", "add", "10.13.0.0/16", "nexthop", "via", "10.1.0.8", "nexthop", "via", "10.1.0.9")
    guest.configure_well(dict(FULL, flush=True))
    expect_full(guest)
    check(not [r for r in guest.ip("route") if r["dst"] == "10.13.0.0/16"], "a route of several hops")
    equal(guest.addresses("w0"), {"10.2.0.2/24", "10.2.0.3/24"}, "another link")
    equal(set(guest.routes("w0")), {"10.21.0.0/16"})
    equal(guest.neighbours("w0"), {"10.2.0.77": "02:00:00:00:00:77"})
    equal(guest.addresses("lo"), {"127.0.0.1/8"})
    guest.configure_well({"name": "lo", "flush": True, "addresses": ["10.7.7.7/32"]})
    equal(guest.addresses("lo"), {"127.0.0.1/8", "10.7.7.7/32"})
    equal(guest.addresses("lo", "inet6"), {"::1/128"})


@test(root=True)
def a_named_address_is_never_away_during_a_flush(case):
    guest = Guest(case)
    guest.configure_well()
    guest.add_pair()
    guest.configure_well({"name": "v0", "addresses": ["10.1.0.2/24", "10.1.0.3/24"]})
    # A primary address takes its secondaries with it; the second is added again.
    guest.configure_well({"name": "v0", "flush": True, "addresses": ["10.1.0.3/24"]})
    equal(guest.addresses("v0"), {"10.1.0.3/24"})


@test(root=True)
def a_gateway_outside_the_subnets_is_on_the_link(case):
    guest = Guest(case)
    guest.add_pair()
    guest.configure_well(
        {
            "name": "v0",
            "addresses": ["10.0.0.2/32", "fd00::2/128"],
            "routes": [{"to": "default", "via": "172.16.0.1"}, {"to": "default", "via": "fd77::1"}],
        }
    )
    equal(guest.routes("v0"), {"default": ("172.16.0.1", None, ["onlink"])})
    equal(guest.routes("v0", "-6"), {"default": ("fd77::1", 1024, ["onlink"])})
    # A subnet that was there before counts, unless it is flushed away.
    guest.ip("addr", "add", "10.5.0.2/24", "dev", "v0")
    route = {"name": "v0", "routes": [{"to": "10.6.0.0/16", "via": "10.5.0.1"}]}
    guest.configure_well(route)
    equal(guest.routes("v0")["10.6.0.0/16"], ("10.5.0.1", None, []))
    guest.configure_well(dict(route, flush=True, addresses=["10.0.0.2/32"]))
    equal(guest.routes("v0"), {"10.6.0.0/16": ("10.5.0.1", None, ["onlink"])})


@test(root=True)
def a_link_local_gateway_of_ipv6_needs_no_subnet(case):
    guest = Guest(case)
    guest.add_pair()
    guest.configure_well({"name": "v0", "routes": [{"to": "default", "via": "fe80::1"}]})
    equal(guest.routes("v0", "-6"), {"default": ("fe80::1", 1024, [])})


@test(root=True)
def a_route_without_gateway_is_on_the_link(case):
    guest = Guest(case)
    guest.add_pair()
    guest.configure_well(
        {"name": "v0", "addresses": ["10.0.0.2/32"], "routes": [{"to": "10.8.0.0/16"}, {"to": "default"}]}
    )
    equal(set(guest.routes("v0")), {"default", "10.8.0.0/16"})


@test(root=True)
def packets_go_where_the_routes_say(case):
    guest = Guest(case)
    guest.add_pair()
    far = guest.connection.call("process.start", argv=["/usr/bin/unshare", "-n", "/bin/sleep", "60"])
    pid = far["pid"]
    own = os.readlink(f"/proc/{guest.agent.pid}/ns/net")
    eventually(lambda: os.readlink(f"/proc/{pid}/ns/net") != own, 5, "the other end's namespace")
    guest.ip("link", "set", "v1", "netns", pid)
    script = (
        "ip addr add 172.16.0.1/32 dev v1; ip link set v1 up; ip addr add 9.9.9.9/32 dev v1;"
        "ip route add 10.0.0.2/32 dev v1; exec \"$@\""
    )
    serve = (
        "import socket, os; s = socket.create_server(('9.9.9.9', 5)); os.write(1, b'up\\n');"
        "c, a = s.accept(); c.sendall(a[0].encode())"
    )
    server = guest.connection.start(
        ["/usr/bin/nsenter", "-t", str(pid), "-n", "/bin/sh", "-c", script, "sh", *python(serve)]
    )
    guest.connection.until(lambda: server.channels[STDOUT].next == 3, 5, "the other end listens")
    guest.configure_well(
        {"name": "v0", "addresses": ["10.0.0.2/32"], "routes": [{"to": "default", "via": "172.16.0.1"}]}
    )
    fetch = "import socket; print(socket.create_connection(('9.9.9.9', 5), 5).recv(99).decode())"
    equal(guest.run(*python(fetch)), b"10.0.0.2\n")
    guest.connection.call("process.kill", id=far["id"], signal="KILL")


@test(root=True)
def mac_says_which_link_when_there_is_no_name(case):
    guest = Guest(case)
    guest.add_pair()
    guest.ip("link", "set", "v0", "address", MAC)
    changes = guest.configure_well({"mac": MAC.upper(), "mtu": 1300, "addresses": ["10.0.0.2/24"]})
    equal({c["interface"] for c in changes}, {"lo", "v0"})
    equal((guest.link("v0")["mtu"], guest.addresses("v0")), (1300, {"10.0.0.2/24"}))


@test(root=True)
def a_link_can_be_taken_down(case):
    guest = Guest(case)
    guest.add_pair()
    guest.configure_well({"name": "v0"})
    check("UP" in guest.link("v0")["flags"], "up is the default")
    guest.configure_well({"name": "v0", "up": False})
    check("UP" not in guest.link("v0")["flags"], "down")


# Failures


@test(root=True)
def what_can_be_done_is_done_and_every_failure_is_told(case):
    guest = Guest(case)
    guest.add_pair()
    bad_route = {"to": "10.3.0.0/16", "via": "224.0.0.1"}
    changes, failed = guest.configure(
        {"name": "nope", "addresses": ["10.5.0.2/24"]},
        dict(FULL, routes=[bad_route, *FULL["routes"]]),
        {"mac": "02:00:00:00:00:66"},
    )
    found = failures(changes)
    equal(failed, 3)
    equal(
        set(found),
        {
            ("link", "nope", None),
            ("route", "v0", "10.3.0.0/16 via 224.0.0.1"),
            ("link", "02:00:00:00:00:66", None),
        },
    )
    equal(found["link", "nope", None]["data"]["name"], "NOT_FOUND")
    error = found["route", "v0", "10.3.0.0/16 via 224.0.0.1"]
    equal((error["data"]["name"], error["data"]["errno"]), ("SYSTEM", "EINVAL"))
    check("gateway" in error["message"], f"the kernel's reason: {error}")
    expect_full(guest)


@test(root=True)
def a_gateway_that_cannot_be_reached_is_told(case):
    guest = Guest(case)
    guest.add_pair()
    changes, failed = guest.configure(
        {"name": "v0", "up": False, "addresses": ["10.0.0.2/24"], "routes": [{"to": "default", "via": "10.0.0.1"}]}
    )
    error = failures(changes)["route", "v0", "default via 10.0.0.1"]
    equal((failed, error["data"]["name"]), (1, "SYSTEM"), f"{error}")
    check(error["data"]["errno"] in ("ENETDOWN", "ENETUNREACH"), f"{error}")
    equal(guest.addresses("v0"), {"10.0.0.2/24"})


@test(root=True)
def what_the_link_refuses_is_told(case):
    guest = Guest(case)
    guest.add_pair()
    changes, failed = guest.configure({"name": "lo", "mtu": 65536}, {"name": "v0", "mtu": 65536})
    equal(failed, 1)
    error = failures(changes)["mtu", "v0", "65536"]
    equal(error["data"]["errno"], "EINVAL", f"{error}")


@test(root=True)
def wrong_parameters_change_nothing(case):
    guest = Guest(case)
    guest.add_pair()
    for link, where in {
        "links[0].addresses[1]": dict(addresses=["10.0.0.2/24", "10.0.0.3/33"]),
        "links[0].addresses[0]": dict(addresses=["10.0.0.2"]),
        "links[0].routes[0].to": dict(routes=[{"to": "10.0.0.1/24"}]),
        "links[0].routes[0].via": dict(routes=[{"to": "default", "via": "nobody"}]),
        "links[0].neighbours[0].mac": dict(neighbours=[{"address": "10.0.0.1", "mac": "x"}]),
        "links[0].mtu": dict(mtu=1),
        "links[0].colour": dict(colour="red"),
    }.items():
        call = {"name": "v0", "up": True, **where}
        error = fails(lambda: guest.connection.call("net.configure", links=[call]), "INVALID_PARAMS")
        check(link in f"{error.object} {error.message}", f"{link}: {error}")
    error = fails(lambda: guest.connection.call("net.configure", dns_servers=["name"]), "INVALID_PARAMS")
    check("dns_servers[0]" in f"{error.object}", f"{error}")
    fails(lambda: guest.connection.call("net.interfaces", x=1), "INVALID_PARAMS")
    check("UP" not in guest.link("v0")["flags"] and "UP" not in guest.link("lo")["flags"], "nothing was done")


@test(root=True)
def without_rights_each_change_is_refused(case):
    os.chmod(case.directory, 0o777)
    os.chmod(os.path.dirname(case.directory), 0o711)  # the scratch directory of all suites
    guest = Guest(case, before=lambda: os.setresuid(65534, 65534, 65534))
    changes, failed = guest.configure(dns_servers=["10.0.0.1"])
    equal(failed, 2)
    found = failures(changes)
    equal({error["data"]["name"] for error in found.values()}, {"PERMISSION"}, f"{found}")
    equal([i["name"] for i in guest.connection.call("net.interfaces")["interfaces"]], ["lo"], "looking is allowed")


# resolv.conf


@test(root=True)
def resolv_conf_is_written(case):
    guest = Guest(case)
    path = os.path.join(guest.etc, "resolv.conf")
    guest.configure_well()
    check(not os.path.lexists(path), "left alone when nothing is said about it")
    os.symlink("../run/systemd/resolve/stub-resolv.conf", path)
    changes = guest.configure_well(
        dns_servers=["10.0.0.1", "fd00::53"], dns_search=["a.example"], dns_options=["ndots:2"]
    )
    check({"action": "resolv.conf", "value": "/etc/resolv.conf"} in changes, f"{changes}")
    text = "nameserver 10.0.0.1\nnameserver fd00::53\nsearch a.example\noptions ndots:2\n"
    with open(path, encoding="ascii") as file:
        equal(file.read(), text)
    check(not os.path.islink(path), "a dangling link is replaced")
    equal(os.listdir(guest.etc), ["resolv.conf"], "nothing is left behind")
    equal(guest.run("/bin/cat", "/etc/resolv.conf").decode(), text)


# nsctl


def nsctl(guest, *words, **options):
    return subprocess.run(
        [nsctl_program(), "-c", guest.agent.address, *words],
        capture_output=True,
        timeout=scaled(10),
        check=False,
        **options,
    )


@test(root=True)
def nsctl_shows_the_network(case):
    guest = Guest(case)
    guest.add_pair()
    guest.configure_well(FULL)
    done = nsctl(guest, "net")
    equal((done.returncode, done.stderr), (0, b""))
    lines = [line.split() for line in done.stdout.decode().splitlines()]
    row = next(line for line in lines if line[:1] == ["v0"])
    equal(row[:4], ["v0", "up", "1400", MAC])
    check("10.0.0.2/24" in row and "fd00::2/64" in row, f"{row}")
    check(["default", "10.0.0.1", "v0", "0", "unicast", "static"] in lines, f"{lines}")
    done = nsctl(guest, "--json", "net")
    first, second = [json.loads(line) for line in done.stdout.splitlines()]
    check("interfaces" in first and "routes" in second, f"{done.stdout}")


@test(root=True)
def nsctl_applies_a_file(case):
    guest = Guest(case)
    guest.add_pair()
    path = case.path("network.json")
    with open(path, "w", encoding="ascii") as file:
        json.dump({"links": [FULL]}, file)
    done = nsctl(guest, "net", "apply", path)
    equal((done.returncode, done.stderr), (0, b""))
    check(b"10.0.0.2/24" in done.stdout, f"{done.stdout}")
    expect_full(guest)
    done = nsctl(guest, "--json", "net", "apply", "-", input=json.dumps({"links": [FULL]}).encode())
    equal((done.returncode, json.loads(done.stdout)["failed"]), (0, 0))
    done = nsctl(guest, "net", "apply", "-", input=b'{"links": [{"name": "nope"}]}')
    equal(done.returncode, 125)
    check(b"nope" in done.stderr and b"lo" in done.stdout, f"{done}")


@test(root=True)
def nsctl_says_what_is_wrong(case):
    guest = Guest(case)
    for words, text in (
        (("net", "apply"), b"net apply FILE"),
        (("net", "show", "x"), b"net apply FILE"),
        (("net", "apply", case.path("missing")), b"missing"),
    ):
        done = nsctl(guest, *words)
        equal((done.returncode, done.stdout), (125, b""), f"{words}")
        check(text in done.stderr, f"{words}: {done.stderr}")
    for text in (b"", b"{", b"[]", b"{}\0", b'{"links": 1}', b'{"x": 1}'):
        done = nsctl(guest, "net", "apply", "-", input=text)
        equal((done.returncode, done.stdout), (125, b""), f"{text}")
        check(done.stderr, f"{text}")


if __name__ == "__main__":
    main()
