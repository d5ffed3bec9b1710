#!/usr/bin/env python3
"""What packaging/ says to others, service managers, monitors, container builders, is what they and the
agent take; and the model client of packaging/examples works."""

import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys

from support.agent import TOP, Agent, agent_program, launch, needs
from support.expect import script
from support.relay import Relay
from support.tap import check, equal, main, scaled, test

HOST = os.path.join(TOP, "packaging/examples/host.py")


def text_of(name):
    with open(os.path.join(TOP, "packaging", name), encoding="utf-8") as file:
        return file.read()


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=scaled(10), check=False, **options)


def accepts(arguments):
    """Whether the agent takes these options. With --version it does nothing more than look at them."""
    return run(agent_program(), *arguments, "--version").returncode == 0


def expect_accepted(arguments):
    check(accepts(arguments), f"{arguments} is accepted")


@test()
def unknown_options_are_noticed_here(_case):
    check(accepts(["--listen", "vsock:1024"]), "a good one")
    check(not accepts(["--listen", "vsock:1024", "--such-an-option"]), "an unknown one")
    check(not accepts(["--listen", "vsock"]), "a wrong value")


# systemd and OpenRC


def unit_text():
    return text_of("systemd/nullspace-agent.service.in").replace("@sbindir@", os.path.dirname(agent_program()))


def unit_values(name):
    return re.findall(rf"^{name}=(.*)$", unit_text(), re.M)


@test()
def the_options_of_the_unit_are_accepted(_case):
    (setting,) = shlex.split(unit_values("Environment")[0])
    name, _, options = setting.partition("=")
    program, *arguments = unit_values("ExecStart")[0].split()
    equal(program, agent_program())
    equal(arguments, [f"${name}"])
    expect_accepted(options.split())


@test()
def the_unit_does_what_workloads_need(_case):
    for name, value in (
        ("Type", "notify"),
        ("NotifyAccess", "main"),
        ("KillMode", "mixed"),
        ("OOMPolicy", "continue"),
        ("Delegate", "yes"),
        ("TasksMax", "infinity"),
    ):
        equal(unit_values(name), [value], name)
    hardening = r"^(Protect\w+|Private\w+|NoNewPrivileges|Restrict\w+|System\w+Filter|CapabilityBoundingSet)="
    equal(re.findall(hardening, unit_text(), re.M), [], "workloads would inherit it")


@test(timeout=30)
def systemd_finds_nothing_wrong_with_the_unit(case):
    needs(shutil.which("systemd-analyze"), "systemd-analyze is not installed")
    path = case.path("nullspace-agent.service")
    with open(path, "w", encoding="utf-8") as file:
        file.write(unit_text())
    done = run("systemd-analyze", "verify", "--man=no", path)
    equal((done.returncode, done.stdout + done.stderr), (0, ""))


@test()
def a_manager_is_told_when_the_agent_listens_and_when_it_stops(case):
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    case.defer(manager.close)
    manager.bind(case.path("notify"))
    manager.settimeout(scaled(10))
    agent = Agent(case, environment={"NOTIFY_SOCKET": case.path("notify")})
    equal(manager.recv(4096).split(b"\n")[0], b"READY=1")
    ended = agent.connect().run(["/usr/bin/env"])
    check(b"NOTIFY_SOCKET" not in ended.stdout, "workloads do not speak for us")
    agent.restart_agent()
    agent.disconnect()
    os.kill(agent.supervisor, signal.SIGTERM)
    equal(manager.recv(4096).split(b"\n")[0], b"STOPPING=1", "and nothing for the restart in between")


@test()
def the_options_of_the_openrc_script_are_accepted(case):
    text = text_of("openrc/nullspace-agent.in").replace("@sbindir@", os.path.dirname(agent_program()))
    path = script(case, "nullspace-agent", text)
    show = f'. {shlex.quote(path)}; printf "%s\\n" "$command" $command_args'
    for options, expected in ((None, None), ("--listen unix:/run/a.sock --any-cid", 3)):
        environment = {} if options is None else {"NULLSPACE_OPTIONS": options}
        done = run("/bin/sh", "-euc", show, env=environment)
        equal((done.returncode, done.stderr), (0, ""))
        program, *arguments = done.stdout.split("\n")[:-1]
        equal(program, agent_program())
        check(expected is None or len(arguments) == expected, f"{arguments}")
        expect_accepted(arguments)


# Monitors

# Members and types that Firecracker's API (src/firecracker/swagger/firecracker.yaml) requires, and
# those that it knows besides; in a configuration file they stand under these names.
FIRECRACKER = {
    "boot-source": ({"kernel_image_path": str}, {"boot_args": str, "initrd_path": str}),
    "drives": (
        {"drive_id": str, "is_root_device": bool, "path_on_host": str},
        {"is_read_only": bool, "cache_type": str, "io_engine": str, "partuuid": str, "rate_limiter": dict},
    ),
    "machine-config": ({"vcpu_count": int, "mem_size_mib": int}, {"smt": bool, "track_dirty_pages": bool}),
    "vsock": ({"guest_cid": int, "uds_path": str}, {}),
    "entropy": ({}, {"rate_limiter": dict}),
}


def expect_members(where, value, required, optional):
    for name, kind in required.items():
        check(name in value, f"{where} has no {name}")
    for name, member in value.items():
        kind = {**required, **optional}.get(name)
        check(kind is not None, f"{where} has {name}")
        check(type(member) is kind, f"{where}.{name} is {member!r}")


@test()
def the_firecracker_configuration_has_what_its_api_requires(_case):
    configuration = json.loads(text_of("examples/firecracker.json"))
    check({"boot-source", "drives", "machine-config", "vsock"} <= set(configuration), f"{list(configuration)}")
    for section, value in configuration.items():
        check(section in FIRECRACKER, f"Firecracker knows no {section}")
        for element in value if isinstance(value, list) else [value]:
            expect_members(section, element, *FIRECRACKER[section])
    equal(isinstance(configuration["drives"], list), True)
    equal(sum(drive["is_root_device"] for drive in configuration["drives"]), 1)
    check(configuration["vsock"]["guest_cid"] >= 3, "smaller ones are reserved")


def expect_kernel_arguments(text):
    """PID 1 is the agent, and takes what is meant for it: ns.NAME=VALUE is --NAME VALUE."""
    words = text.split()
    names = [word.partition("=")[0] for word in words]
    equal(len(set(names)), len(names), f"nothing is there twice: {text}")
    for word in words:
        check(re.fullmatch(r"[\w.-]+(=[\w./:,-]+)?", word), f"{word} is a kernel argument")
    check("init=/sbin/nullspace-agent" in words, f"{text} names the agent")
    check("panic=1" in words, f"{text} ends a guest whose PID 1 died")
    options = [word[len("ns.") :].partition("=") for word in words if word.startswith("ns.")]
    check(options, f"{text} has options of the agent")
    expect_accepted([f"--{name.replace('_', '-')}={value}" for name, _, value in options])


def started_as(case, example, program, *arguments):
    """The arguments with which the example starts the monitor."""
    directory = case.path("vm")
    os.makedirs(directory, exist_ok=True)
    script(case, program, '#!/bin/sh\nprintf "%s\\n" "$PWD" "$@"\n')
    environment = dict(os.environ, PATH=f"{case.directory}:{os.environ['PATH']}")
    path = os.path.join(TOP, "packaging/examples", example)
    done = run("/bin/sh", path, directory, *arguments, env=environment)
    equal((done.returncode, done.stderr), (0, ""))
    where, *words = done.stdout.split("\n")[:-1]
    equal(os.path.realpath(where), os.path.realpath(directory))
    return words


def after(words, name):
    return words[words.index(name) + 1]


@test()
def firecracker_is_started_with_the_configuration(case):
    os.makedirs(case.path("vm"))
    with open(case.path("vm/vsock.sock"), "w", encoding="ascii"):
        pass
    words = started_as(case, "firecracker.sh", "firecracker")
    equal(words, ["--no-api", "--config-file", "firecracker.json"])
    check(not os.path.exists(case.path("vm/vsock.sock")), "the old socket would be refused")
    arguments = json.loads(text_of("examples/firecracker.json"))["boot-source"]["boot_args"]
    expect_kernel_arguments(arguments)
    check("reboot=k" in arguments.split(), "how a guest of it ends")
    explained = text_of("examples/firecracker.sh")
    for word in arguments.split():
        name = word.partition("=")[0].rpartition(".")[2]
        check(re.search(rf"^#   .*\b{name}\b", explained, re.M) or word.startswith("ns."), f"{word} is explained")


@test()
def cloud_hypervisor_is_started_with_a_vsock(case):
    words = started_as(case, "cloud-hypervisor.sh", "cloud-hypervisor")
    expect_kernel_arguments(after(words, "--cmdline"))
    equal(after(words, "--vsock"), "cid=3,socket=vsock.sock")


@test()
def qemu_is_started_with_a_vsock_of_that_cid(case):
    for arguments, cid in (([], 3), (["17"], 17)):
        words = started_as(case, "qemu.sh", "qemu-system-x86_64", *arguments)
        expect_kernel_arguments(after(words, "-append"))
        check(f"vhost-vsock-pci,guest-cid={cid}" in words, f"{words}")
        check("-no-reboot" in words, "a reset ends it")


# Containers


@test()
def the_container_starts_the_agent_that_was_copied(_case):
    text = re.sub(r"^#.*\n", "", text_of("container/Dockerfile"), flags=re.M)
    instructions = [line.split(None, 1) for line in text.splitlines() if line.strip()]
    known = {"ARG", "FROM", "COPY", "WORKDIR", "VOLUME", "ENTRYPOINT"}
    equal({name for name, _ in instructions} - known, set())
    values = dict(instructions)
    program, *arguments = json.loads(values["ENTRYPOINT"])
    equal(values["COPY"].split(), ["--chmod=0755", "nullspace-agent", program])
    equal(arguments[0], "--listen")
    equal(os.path.dirname(arguments[1].partition(":")[2]), values["VOLUME"])
    expect_accepted(arguments)


# The model client


def host(address, *command, **options):
    return subprocess.run(
        [sys.executable, HOST, address, "--", *command], capture_output=True, timeout=scaled(20), check=False, **options
    )


@test()
def host_py_passes_output_and_exit_on(case):
    agent = Agent(case)
    done = host(agent.address, "sh", "-c", "echo out; echo err >&2; exit 3")
    equal((done.returncode, done.stdout, done.stderr), (3, b"out\n", b"err\n"))
    equal(host(agent.address, "sh", "-c", "kill -KILL $$").returncode, 128 + signal.SIGKILL)
    equal(host(agent.address, "printf", "%s", b"\xff\xfe 'x'").stdout, b"\xff\xfe 'x'", "any bytes")


@test()
def host_py_streams_while_the_command_runs(case):
    agent = Agent(case)
    command = [sys.executable, HOST, agent.address, "--", "sh", "-c", "echo first; exec sleep 60"]
    process = launch(case, command, stdout=subprocess.PIPE)
    equal(process.stdout.readline(), b"first\n")


@test(timeout=40)
def host_py_gives_credit_on_both_channels(case):
    agent = Agent(case)
    done = host(agent.address, "sh", "-c", "head -c 6000000 /dev/zero >&2 & seq 1 700000; wait")
    equal(done.returncode, 0)
    expected = "".join(f"{number}\n" for number in range(1, 700001)).encode()
    equal(hashlib.sha256(done.stdout).hexdigest(), hashlib.sha256(expected).hexdigest())
    equal((len(done.stderr), set(done.stderr)), (6000000, {0}))


@test()
def host_py_reads_rings_smaller_than_the_credit(case):
    """Then the agent says BLOCKED instead of waiting for its credit to be used up."""
    agent = Agent(case, arguments=["--ring-budget", "262144"])
    done = host(agent.address, "head", "-c", "3000000", "/dev/zero")
    equal((done.returncode, len(done.stdout)), (0, 3000000))


@test()
def host_py_says_why_nothing_was_started(case):
    agent = Agent(case)
    relay = Relay(case, agent.socket_path, hybrid=1024)
    for address, command, reason in (
        (agent.address, "/no/such/program", b"SPAWN"),
        (f"unix:{case.path('nobody')}", "true", b"No such file"),
        (f"hybrid:{relay.path}:1025", "true", b"nobody listens"),
    ):
        done = host(address, command)
        equal((done.returncode, done.stdout), (125, b""))
        check(reason in done.stderr, f"{done.stderr}")
    equal(run(sys.executable, HOST).returncode, 1, "how it is used")


@test()
def host_py_goes_through_a_hybrid_socket(case):
    agent = Agent(case)
    relay = Relay(case, agent.socket_path, hybrid=1024)
    done = host(f"hybrid:{relay.path}:1024", "echo", "through")
    equal((done.returncode, done.stdout), (0, b"through\n"))


@test()
def host_py_notices_a_lost_connection(case):
    agent = Agent(case)
    command = [sys.executable, HOST, agent.address, "--", "sh", "-c", "echo first; exec sleep 60"]
    process = launch(case, command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    equal(process.stdout.readline(), b"first\n")
    agent.kill_agent()
    equal(process.wait(scaled(10)), 125)
    check(b"lost" in process.stderr.read(), "it says so")


if __name__ == "__main__":
    main()
