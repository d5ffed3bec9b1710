#!/usr/bin/env python3
"""The nsctl command line: what it prints, how it exits, and that it goes on after a loss."""

import hashlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time

from support import payload
from support.agent import Agent, launch, needs, nsctl_program
from support.relay import Relay
from support.tap import at_most, check, equal, eventually, main, number_from_environment, scaled, test

MIB = 1 << 20
KILLS = min(number_from_environment("NSP_KILLS", 5), 50)


class Nsctl:
    """Runs nsctl against one address."""

    def __init__(self, case, address):
        self.case = case
        self.address = address

    def command(self, *arguments):
        return [nsctl_program(), "-c", self.address, *map(os.fsencode, map(str, arguments))]

    def __call__(self, *arguments, input=None, timeout=20, **options):
        """Runs it to its end; a CompletedProcess."""
        if input is None:
            options.setdefault("stdin", subprocess.DEVNULL)
        else:
            options["input"] = input
        return subprocess.run(
            self.command(*arguments),
            capture_output=True,
            timeout=scaled(timeout),
            cwd=self.case.directory,
            check=False,
            **options,
        )

    def start(self, *arguments, **options):
        """Leaves it running; killed at the end of the test."""
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return launch(self.case, self.command(*arguments), cwd=self.case.directory, **options)


def both(case):
    agent = Agent(case)
    return agent, Nsctl(case, agent.address)


def ok(done):
    """Its standard output; it must have succeeded in silence."""
    equal((done.returncode, done.stderr), (0, b""), f"{done.args[3:]}")
    return done.stdout


def detached(nsctl, *arguments, options=()):
    """Starts a command detached; returns its id."""
    return ok(nsctl("run", "--detach", *options, "--", *arguments)).decode().strip()


# run


@test()
def run_copies_output_and_exit_status(case):
    _, nsctl = both(case)
    done = nsctl("run", "--", "sh", "-c", "printf out; printf err >&2; exit 42")
    equal((done.stdout, done.stderr, done.returncode), (b"out", b"err", 42))


@test()
def run_passes_arguments_exactly(case):
    _, nsctl = both(case)
    arguments = ["", " ", "a b", "gr\u00fc\u00df", "*", "-x", "--", "--json", "\\", "$HOME"]
    done = nsctl("run", "--", "printf", "%s\\0", *arguments)
    equal(ok(done), b"".join(a.encode() + b"\0" for a in arguments))
    done = subprocess.run(
        [*nsctl.command("run", "--", "printf", "%s"), b"\xff\xfe"],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    equal(ok(done), b"\xff\xfe")


@test()
def run_sets_directory_and_variables(case):
    _, nsctl = both(case)
    done = nsctl("run", "--cwd", case.directory, "-e", "A=1", "-e", "B=x=y", "--", "sh", "-c", 'pwd; echo "$A $B"')
    equal(ok(done), f"{case.directory}\n1 x=y\n".encode())


@test()
def run_takes_a_shell_command(case):
    _, nsctl = both(case)
    equal(ok(nsctl("run", "--shell", "--", "echo a | tr a b; exit 0")), b"b\n")


@test()
def run_exits_as_shells_do(case):
    _, nsctl = both(case)
    plain = case.path("plain")
    open(plain, "w", encoding="ascii").close()
    for expected, arguments in (
        (0, ("run", "--", "true")),
        (255, ("run", "--", "sh", "-c", "exit 255")),
        (128 + 15, ("run", "--", "sh", "-c", "kill -TERM $$")),
        (128 + 9, ("run", "--", "sh", "-c", "kill -KILL $$")),
        (127, ("run", "--", "no-such-program")),
        (127, ("run", "--", "/no/such/program")),
        (126, ("run", "--", plain)),
        (126, ("run", "--", case.directory)),
        (125, ("run", "--cwd", "/no/such/directory", "--", "true")),
        (124, ("run", "--timeout", "0.2", "--", "sleep", "100")),
    ):
        done = nsctl(*arguments)
        equal(done.returncode, expected, f"{arguments}: {done.stderr}")
        check(done.stderr or expected not in (125, 126, 127), f"{arguments} says what is wrong")


@test()
def an_error_of_its_own_is_125(case):
    _, nsctl = both(case)
    for arguments in (
        ["run"],
        ["run", "--no-such-option"],
        ["no-such-command"],
        ["wait", "nobody"],
        ["attach", "nobody"],
        ["logs", "nobody"],
    ):
        done = nsctl(*arguments)
        equal((done.returncode, done.stdout), (125, b""), f"{arguments}: {done.stderr}")
        check(done.stderr, f"{arguments} says what is wrong")


@test(timeout=60)
def an_agent_that_is_not_there_is_125(case):
    done = Nsctl(case, f"unix:{case.path('nothing')}")("ping", timeout=50)
    equal((done.returncode, done.stdout), (125, b""))
    check(done.stderr, "says what is wrong")
    for address in ("nonsense", "tcp:localhost:1", "unix:", ""):
        equal(Nsctl(case, address)("ping").returncode, 125, address)


@test()
def the_address_comes_from_the_environment_too(case):
    agent, _ = both(case)
    environment = dict(os.environ, NSCTL_CONNECT=agent.address)
    done = subprocess.run(
        [nsctl_program(), "run", "--", "echo", "x"],
        env=environment,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    equal(ok(done), b"x\n")
    done = subprocess.run([nsctl_program(), "ping"], capture_output=True, check=False)
    equal(done.returncode, 125, "no address at all")


@test(timeout=60)
def run_copies_much_output_without_change(case):
    _, nsctl = both(case)
    size = 32 * MIB
    done = nsctl("run", "--", *payload.command("write", size), timeout=50)
    equal(done.returncode, 0)
    for seed, data in ((1, done.stdout), (2, done.stderr)):
        equal(
            hashlib.sha256(data).digest(), hashlib.sha256(payload.Payload(seed).at(0, size)).digest(), f"stream {seed}"
        )


@test(timeout=60)
def run_copies_much_input_and_its_end(case):
    _, nsctl = both(case)
    size = 32 * MIB
    done = nsctl("run", "--", *payload.command("read"), input=payload.Payload(3).at(0, size), timeout=50)
    equal(ok(done), b"%d None\n" % size)
    equal(ok(nsctl("run", "--", "cat", input=b"")), b"")


@test()
def run_passes_input_on_as_it_comes(case):
    _, nsctl = both(case)
    process = nsctl.start("run", "--", "cat", stdin=subprocess.PIPE, bufsize=0)
    for turn in range(20):
        process.stdin.write(b"turn %d\n" % turn)
        equal(process.stdout.readline(), b"turn %d\n" % turn)
    process.stdin.close()
    equal(process.wait(scaled(5)), 0)


@test()
def run_without_input_leaves_its_own_alone(case):
    _, nsctl = both(case)
    equal(ok(nsctl("run", "--no-stdin", "--", "cat", input=b"not for it")), b"")


@test()
def run_does_not_wait_for_an_input_that_nobody_reads(case):
    _, nsctl = both(case)
    process = nsctl.start("run", "--", "echo", "done", stdin=subprocess.PIPE)
    equal((process.stdout.read(), process.wait(scaled(5))), (b"done\n", 0))


@test()
def run_does_not_wait_for_a_background_job(case):
    agent, nsctl = both(case)
    began = time.monotonic()
    done = nsctl("run", "--", "sh", "-c", "sleep 100 & echo $!; exit 3")
    at_most(time.monotonic() - began, scaled(3), "seconds")
    equal(done.returncode, 3)
    os.kill(int(done.stdout), signal.SIGKILL)
    agent.expect_no_workload()


@test()
def signals_are_passed_on(case):
    _, nsctl = both(case)
    script = "trap 'echo int; exit 7' INT; trap 'echo term; exit 8' TERM; trap 'echo hup; exit 9' HUP; echo ready; while :; do sleep 0.02; done"
    for number, text, code in (
        (signal.SIGINT, b"int\n", 7),
        (signal.SIGTERM, b"term\n", 8),
        (signal.SIGHUP, b"hup\n", 9),
    ):
        process = nsctl.start("run", "--", "sh", "-c", script)
        equal(process.stdout.readline(), b"ready\n")
        process.send_signal(number)
        equal((process.stdout.read(), process.wait(scaled(5))), (text, code))


@test()
def its_own_streams_may_be_closed(case):
    _, nsctl = both(case)
    run = " ".join(map(os.fsdecode, nsctl.command("run", "--")))
    for redirect, command, expected in (
        ("<&-", "cat; echo in", (b"in\n", b"", 0)),
        (">&-", "echo err >&2; exit 3", (b"", b"err\n", 3)),
        ("2>&-", "echo out; exit 4", (b"out\n", b"", 4)),
        ("<&- 2>&-", "cat; echo out; exit 5", (b"out\n", b"", 5)),
    ):
        done = subprocess.run(
            ["/bin/sh", "-c", f"{run} sh -c '{command}' {redirect}"],
            capture_output=True,
            check=False,
            timeout=scaled(10),
        )
        equal((done.stdout, done.stderr, done.returncode), expected, redirect)


@test()
def a_closed_output_ends_it(case):
    _, nsctl = both(case)
    process = nsctl.start("run", "--", "yes")
    process.stdout.read(100)
    process.stdout.close()
    check(process.wait(scaled(10)) != 0, "it fails")


@test()
def a_full_pipe_holds_the_process_and_loses_nothing(case):
    _, nsctl = both(case)
    size = 8 * MIB
    process = nsctl.start("run", "--", *payload.command("write", size), stderr=subprocess.DEVNULL)
    time.sleep(0.3)
    data = process.stdout.read()
    equal(hashlib.sha256(data).digest(), hashlib.sha256(payload.Payload(1).at(0, size)).digest())
    equal(process.wait(scaled(5)), 0)


# Detached and attached


@test()
def a_detached_command_is_found_by_its_id(case):
    _, nsctl = both(case)
    equal(detached(nsctl, "sh", "-c", "echo out; echo err >&2; exit 5", options=["--id", "job"]), "job")
    equal(nsctl("wait", "job").returncode, 5)
    done = nsctl("attach", "job")
    equal((done.stdout, done.stderr, done.returncode), (b"out\n", b"err\n", 5))
    done = nsctl("logs", "job")
    check(b"out\n" in done.stdout + done.stderr and b"err\n" in done.stdout + done.stderr, f"{done}")
    equal(done.returncode, 0)
    equal(nsctl("run", "--id", "job", "--", "true").returncode, 125, "the id is taken")


@test()
def attach_goes_on_from_an_offset(case):
    _, nsctl = both(case)
    job = detached(nsctl, "sh", "-c", "printf 0123456789; exit 3")
    nsctl("wait", job)
    done = nsctl("attach", "--from", "4", job)
    equal((done.stdout, done.returncode), (b"456789", 3))
    equal(nsctl("attach", "--from", "10", job).stdout, b"")
    equal(nsctl("attach", "--from", "11", job).returncode, 125)


@test()
def attach_follows_a_running_command(case):
    _, nsctl = both(case)
    job = detached(nsctl, "sh", "-c", "echo early; sleep 0.4; echo late; exit 6")
    done = nsctl("attach", job)
    equal((done.stdout, done.returncode), (b"early\nlate\n", 6))


@test()
def logs_do_not_wait(case):
    _, nsctl = both(case)
    job = detached(nsctl, "sh", "-c", "echo early; sleep 100")
    eventually(lambda: nsctl("logs", job).stdout == b"early\n", 5, "the log")
    nsctl("kill", "-s", "KILL", job)


@test()
def stdin_reaches_a_detached_command(case):
    agent, nsctl = both(case)
    process = agent.connect().call("process.start", argv=["cat"], stdin="pipe", id="cat")
    check(process["pid"], "started")
    ok(nsctl("stdin", "cat", input=b"hello\n"))
    eventually(lambda: nsctl("logs", "cat").stdout == b"hello\n", 5, "the echo")
    nsctl("kill", "cat")


@test()
def kill_ends_a_command_or_sends_a_signal(case):
    _, nsctl = both(case)
    job = detached(nsctl, "sleep", "100")
    ok(nsctl("kill", job))
    equal(nsctl("wait", job).returncode, 128 + 15)
    stubborn = detached(nsctl, "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.02; done")
    eventually(lambda: nsctl("logs", stubborn).stdout == b"ready\n", 5, "ready")
    ok(nsctl("kill", "--grace", "0.2", stubborn))
    equal(nsctl("wait", stubborn).returncode, 128 + 9)
    handler = detached(nsctl, "sh", "-c", "trap 'exit 77' USR1; echo ready; while :; do sleep 0.02; done")
    eventually(lambda: nsctl("logs", handler).stdout == b"ready\n", 5, "ready")
    ok(nsctl("kill", "-s", "USR1", "--scope", "leader", handler))
    equal(nsctl("wait", handler).returncode, 77)
    equal(nsctl("kill", "-s", "NOPE", handler).returncode, 125)


@test()
def ps_lists_what_runs_and_what_has_exited(case):
    _, nsctl = both(case)
    detached(nsctl, "sleep", "100", options=["--id", "running"])
    detached(nsctl, "sh", "-c", "exit 3", options=["--id", "done"])
    nsctl("wait", "done")
    lines = ok(nsctl("ps")).decode()
    check("running" in lines and "done" not in lines, f"without -a: {lines}")
    lines = ok(nsctl("ps", "-a")).decode()
    check("running" in lines and "done" in lines and "sleep" in lines, lines)
    records = json.loads(ok(nsctl("--json", "ps")))
    records = records["processes"] if isinstance(records, dict) else records
    found = {r["id"]: r["state"] for r in records}
    equal(found, {"running": "running", "done": "exited"})
    nsctl("kill", "running")


# About the agent


@test()
def info_ping_and_discover_answer(case):
    agent, nsctl = both(case)
    check(str(agent.pid) in ok(nsctl("info")).decode(), "info names the agent's pid")
    check(isinstance(json.loads(ok(nsctl("--json", "info"))), dict), "info as JSON")
    check(ok(nsctl("ping")), "ping says something")
    json.loads(ok(nsctl("--json", "ping")))
    document = json.loads(ok(nsctl("discover")))
    check("openrpc" in document and "process.start" in [m["name"] for m in document["methods"]], "OpenRPC")


@test()
def it_tells_its_version_and_commands(case):
    for option, word in (("--version", b"."), ("--help", b"completion")):
        done = subprocess.run([nsctl_program(), option], capture_output=True, timeout=scaled(5), check=False)
        equal((done.returncode, done.stderr), (0, b""), option)
        check(word in done.stdout, f"{option}: {done.stdout!r}")


@test()
def completions_are_sound_scripts(case):
    for shell in ("bash", "zsh", "fish"):
        done = subprocess.run(
            [nsctl_program(), "completion", shell], capture_output=True, timeout=scaled(5), check=False
        )
        text = ok(done)
        check(b"nsctl" in text and b"attach" in text, f"{shell}: {text!r}")
        program = shutil.which(shell)
        if program:
            verdict = subprocess.run([program, "-n", "/dev/stdin"], input=text, capture_output=True, check=False)
            equal((verdict.returncode, verdict.stderr), (0, b""), shell)
    done = subprocess.run([nsctl_program(), "completion", "tcsh"], capture_output=True, timeout=scaled(5), check=False)
    equal(done.returncode, 125)


@test()
def bash_completes_commands(case):
    needs(shutil.which("bash"), "no bash")
    script = subprocess.run([nsctl_program(), "completion", "bash"], capture_output=True, check=True).stdout
    path = case.path("completion")
    with open(path, "wb") as file:
        file.write(script)
    code = (
        f"source {path}; function_name=$(complete -p nsctl | sed 's/.*-F \\([^ ]*\\).*/\\1/');"
        " COMP_WORDS=(nsctl att); COMP_CWORD=1; COMP_LINE='nsctl att'; COMP_POINT=9;"
        ' "$function_name" nsctl att nsctl; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "--norc", "-c", code], capture_output=True, check=False)
    equal(done.stdout.split(), [b"attach"], f"{done.stderr}")


@test()
def tcp_works_with_the_token_file(case):
    with socket.socket() as link:
        link.bind(("127.0.0.1", 0))
        port = link.getsockname()[1]
    token = case.path("token")
    Agent(case, listen=[f"tcp:127.0.0.1:{port}"], arguments=["--token-file", token])
    equal(ok(Nsctl(case, f"tcp:127.0.0.1:{port}?token-file={token}")("run", "--", "echo", "x")), b"x\n")
    wrong = case.path("wrong")
    with open(wrong, "w", encoding="ascii") as file:
        file.write("wrong")
    done = Nsctl(case, f"tcp:127.0.0.1:{port}?token-file={wrong}")("ping")
    equal(done.returncode, 125)
    check(done.stderr, "says what is wrong")


@test()
def a_hybrid_socket_is_asked_for_its_port_until_somebody_listens(case):
    agent = Agent(case)
    relay = Relay(case, agent.socket_path, cuts=[0, 0, 0], hybrid=1024)
    nsctl = Nsctl(case, f"hybrid:{relay.path}:1024")
    done = nsctl("run", "--", "cat", input=b"over hybrid")
    equal(ok(done), b"over hybrid")
    equal(relay.connections, 4, "three refusals, then the one that worked")


# Losses


@test(timeout=90)
def it_goes_on_byte_for_byte_after_the_agent_was_killed(case):
    agent, nsctl = both(case)
    size = 48 * MIB
    process = nsctl.start("run", "--", *payload.command("write", size))
    digests = [hashlib.sha256(), hashlib.sha256()]

    def copy(pipe, digest):
        count = 0
        while data := pipe.read1(1 << 18):
            digest.update(data)
            count += len(data)
        return count

    threads = [case.thread(copy, pipe, digest) for pipe, digest in zip((process.stdout, process.stderr), digests)]
    for _ in range(KILLS):
        time.sleep(random.uniform(0.02, 0.1))
        agent.kill_agent()
    equal([thread.join(60) for thread in threads], [size, size], "bytes of both streams")
    for seed, digest in enumerate(digests, 1):
        equal(digest.hexdigest(), hashlib.sha256(payload.Payload(seed).at(0, size)).hexdigest(), f"stream {seed}")
    equal(process.wait(scaled(10)), 0)


@test(timeout=60)
def input_goes_on_after_the_agent_was_killed(case):
    agent, nsctl = both(case)
    size = 16 * MIB
    process = nsctl.start("run", "--", *payload.command("read"), stdin=subprocess.PIPE)
    text = payload.Payload(3).at(0, size)

    def feed():
        process.stdin.write(text)
        process.stdin.close()

    thread = case.thread(feed)
    for _ in range(KILLS):
        time.sleep(random.uniform(0.02, 0.08))
        agent.kill_agent()
    thread.join(40)
    equal((process.stdout.read(), process.wait(scaled(10))), (b"%d None\n" % size, 0))


@test(timeout=60)
def it_goes_on_after_its_connection_was_cut(case):
    agent = Agent(case)
    cuts = [0, 4, 8, 20, 100, 1000, 3000, 100000, 1 * MIB, 300000, 5, 2500]
    relay = Relay(case, agent.socket_path, cuts)
    nsctl = Nsctl(case, relay.address)
    log = case.path("log")
    size = 4 * MIB
    command = ["sh", "-c", f'echo once >>{log}; exec "$@"', "sh", *payload.command("write", size)]
    done = nsctl("run", "--no-stdin", "--", *command, timeout=50)
    equal(done.returncode, 0, f"{done.stderr[-300:]}")
    equal((len(done.stdout), len(done.stderr)), (size, size))
    for seed, data in ((1, done.stdout), (2, done.stderr)):
        equal(
            hashlib.sha256(data).digest(), hashlib.sha256(payload.Payload(seed).at(0, size)).digest(), f"stream {seed}"
        )
    with open(log, encoding="ascii") as file:
        equal(file.read(), "once\n", "started once")
    check(relay.connections > len(cuts), f"{relay.connections} connections")


@test()
def wait_goes_on_after_the_agent_was_killed(case):
    agent, nsctl = both(case)
    job = detached(nsctl, "sh", "-c", "sleep 0.6; exit 9")
    process = nsctl.start("wait", job)
    time.sleep(0.1)
    agent.kill_agent()
    equal(process.wait(scaled(10)), 9)


@test()
def a_killed_nsctl_does_not_take_the_command_with_it(case):
    _, nsctl = both(case)
    process = nsctl.start("run", "--id", "survivor", "--", "sh", "-c", "echo one; sleep 0.5; echo two; exit 4")
    equal(process.stdout.readline(), b"one\n")
    process.kill()
    process.wait(scaled(5))
    done = nsctl("attach", "survivor")
    equal((done.stdout, done.returncode), (b"one\ntwo\n", 4))


if __name__ == "__main__":
    main()
