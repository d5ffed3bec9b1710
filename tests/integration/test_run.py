#!/usr/bin/env python3
"""A program is started with its surroundings and ends: PROTOCOL.md section 10."""

import base64
import os
import resource
import signal
import subprocess
import time

from support.agent import needs
from support.expect import fails, python, script, started
from support.tap import Failure, at_most, check, equal, main, scaled, test
from support.wire import RpcError, from_bytes

MIB = 1 << 20
SAMPLED_CODES = (0, 1, 2, 3, 7, 42, 64, 99, 100, 125, 126, 127, 128, 129, 130, 137, 143, 200, 254, 255)


# Exit


@test()
def exit_codes_come_back_unchanged(case):
    _, connection = started(case)
    for code in SAMPLED_CODES:
        run = connection.run(["/bin/sh", "-c", 'exit "$1"', "sh", str(code)])
        equal(run.code, code)
        check("signal" not in run.exit, f"an exit code only: {run.exit}")


@test()
def death_by_signal_is_told_by_number_and_name(case):
    _, connection = started(case)
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP, signal.SIGPIPE):
        run = connection.run(["/bin/sh", "-c", f"kill -{number.value} $$"])
        equal(run.signal, number.value)
        equal(run.exit["signal_name"], number.name)
        equal(run.exit["core"], False)
        check("code" not in run.exit, f"a signal only: {run.exit}")


@test()
def a_core_dump_is_told_as_the_kernel_tells_it(case):
    _, connection = started(case)
    limits = resource.getrlimit(resource.RLIMIT_CORE)
    for size in {0, limits[1] if limits[1] != resource.RLIM_INFINITY else MIB * 64}:

        def set_limit(soft=size):
            resource.setrlimit(resource.RLIMIT_CORE, (soft, limits[1]))

        command = ["/bin/sh", "-c", "kill -QUIT $$"]
        reference = subprocess.Popen(command, cwd=case.directory, preexec_fn=set_limit)
        _, status = os.waitpid(reference.pid, 0)
        reference.returncode = status
        hard = "unlimited" if limits[1] == resource.RLIM_INFINITY else limits[1]
        run = connection.run(command, cwd=case.directory, rlimits={"core": {"soft": size, "hard": hard}})
        equal(run.signal, signal.SIGQUIT.value)
        equal(run.exit["core"], os.WCOREDUMP(status), f"with a core limit of {size}")


@test()
def the_exit_carries_times_and_memory(case):
    _, connection = started(case)
    before = time.time() * 1000
    run = connection.run(python("import time\nend = time.process_time() + 0.2\nwhile time.process_time() < end: pass"))
    after = time.time() * 1000
    check(150 <= run.exit["user_ms"] + run.exit["system_ms"] <= run.exit["wall_ms"] + 100, f"times: {run.exit}")
    check(200 <= run.exit["wall_ms"] <= scaled(5000), f"wall: {run.exit}")
    check(run.exit["max_rss_kib"] > 1000, f"memory: {run.exit}")
    check(before - 5 <= int(run.exit["exited_at_ms"]) <= after + 5, f"exited at: {run.exit}")
    check(not run.exit.get("timed_out"), f"no time limit: {run.exit}")


@test()
def exited_drained_and_the_response_agree(case):
    _, connection = started(case)
    run = connection.run(["/bin/sh", "-c", "printf 12345; printf 123 >&2; exit 9"])
    equal(run.exited["code"], 9)
    equal(run.exit["code"], 9)
    equal((run.drained["stdout"], run.drained["stderr"]), (5, 3))
    equal((run.response["stdout"], run.response["stderr"]), (5, 3))
    equal([entry for entry in run.stream.log if entry == ("response",)], [run.stream.log[-1]], "the response is last")


# Program and arguments


@test()
def arguments_arrive_exactly(case):
    _, connection = started(case)
    arguments = [
        b"",
        b" ",
        b"a b",
        b"\t\n",
        "gr\u00fc\u00df \U0001f389".encode(),
        b"*?[]$`\\\"'",
        b"-n",
        b"\xff\xfe\x80",
        b"x" * 100000,
    ]
    run = connection.run(["/bin/sh", "-c", 'printf "%s\\0" "$@"', "sh", *arguments])
    equal(run.stdout, b"".join(a + b"\0" for a in arguments))


@test()
def a_record_shows_arguments_that_are_not_text(case):
    _, connection = started(case)
    run = connection.run(["/bin/true", b"\xff", "text"])
    record = connection.call("process.get", id=run.id)
    equal([from_bytes(a) for a in record["argv"]], [b"/bin/true", b"\xff", b"text"])
    equal(record["argv"][2], "text")
    equal(record["argv"][1], {"b64": base64.b64encode(b"\xff").decode()})


@test()
def a_bare_name_is_looked_up_on_the_path_of_the_new_environment(case):
    _, connection = started(case)
    script(case, "tool", "#!/bin/sh\necho found\n")
    run = connection.run(["tool"], env={"PATH": f"/nonexistent:{case.directory}"})
    equal(run.stdout, b"found\n")
    fails(lambda: connection.run(["tool"], env={"PATH": "/nonexistent"}), "SPAWN", errno="ENOENT")


@test()
def path_lookup_passes_over_what_may_not_be_executed(case):
    _, connection = started(case)
    os.mkdir(case.path("first"))
    os.mkdir(case.path("second"))
    script(case, "first/tool", "#!/bin/sh\necho wrong\n", 0o644)
    script(case, "second/tool", "#!/bin/sh\necho right\n")
    both = f"{case.path('first')}:{case.path('second')}"
    equal(connection.run(["tool"], env={"PATH": both}).stdout, b"right\n")
    fails(lambda: connection.run(["tool"], env={"PATH": case.path("first")}), "SPAWN", errno="EACCES")


@test()
def a_relative_program_is_found_from_the_new_directory(case):
    _, connection = started(case)
    script(case, "here", "#!/bin/sh\necho here\n")
    equal(connection.run(["./here"], cwd=case.directory).stdout, b"here\n")


@test()
def a_command_is_run_by_the_shell(case):
    _, connection = started(case)
    run = connection.run(command='echo "a   b" | tr a-z A-Z; exit 3')
    equal((run.stdout, run.code), (b"A   B\n", 3))


@test()
def argv_and_command_exclude_each_other(case):
    _, connection = started(case)
    fails(lambda: connection.run(["true"], command="true"), "INVALID_PARAMS")
    fails(lambda: connection.run(), "INVALID_PARAMS")
    fails(lambda: connection.run([]), "INVALID_PARAMS")
    fails(lambda: connection.run([b"a\0b"]), "INVALID_PARAMS")
    equal(connection.run(["true"]).code, 0, "the connection goes on")


# Surroundings


@test()
def the_working_directory_is_the_one_asked_for(case):
    _, connection = started(case)
    equal(connection.run(["/bin/pwd"], cwd=case.directory).stdout, case.directory.encode() + b"\n")
    odd = os.fsencode(case.directory) + b"/\xff\xfe dir"
    os.mkdir(odd)
    encoded = {"b64": base64.b64encode(odd).decode()}
    equal(connection.run(["/bin/pwd", "-P"], cwd=encoded).stdout, odd + b"\n")


@test()
def variables_are_added_to_the_default_environment(case):
    _, connection = started(case)
    run = connection.run(["/usr/bin/env", "-0"], env={"NAME": "value", "EMPTY": "", "EQUALS": "a=b=c"})
    found = dict(v.split(b"=", 1) for v in run.stdout.split(b"\0")[:-1])
    equal((found[b"NAME"], found[b"EMPTY"], found[b"EQUALS"]), (b"value", b"", b"a=b=c"))
    check(b"PATH" in found, f"the default environment has a PATH: {found}")


@test()
def a_cleared_environment_has_only_what_was_given(case):
    _, connection = started(case)
    value = {"b64": base64.b64encode(b"\xff\x01").decode()}
    run = connection.run(["/usr/bin/env", "-0"], clear_env=True, env={"ONLY": value})
    equal(run.stdout, b"ONLY=\xff\x01\0")
    equal(connection.run(["/usr/bin/env", "-0"], clear_env=True).stdout, b"")


@test()
def a_bad_variable_name_is_refused(case):
    _, connection = started(case)
    for name in ("", "A=B"):
        fails(lambda: connection.run(["true"], env={name: "x"}), "INVALID_PARAMS")


@test()
def the_umask_is_set(case):
    _, connection = started(case)
    equal(connection.run(command="umask", umask=0o27).stdout.strip(), b"0027")
    for wrong in (-1, 0o1000, "x"):
        fails(lambda: connection.run(command="umask", umask=wrong), "INVALID_PARAMS")


@test()
def resource_limits_are_set(case):
    _, connection = started(case)
    limits = {"nofile": {"soft": 64, "hard": 128}, "core": {"soft": 0, "hard": 0}}
    run = connection.run(command="ulimit -Sn; ulimit -Hn; ulimit -Sc", rlimits=limits)
    equal(run.stdout.split(), [b"64", b"128", b"0"])
    if resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY:
        unlimited = {"fsize": {"soft": "unlimited", "hard": "unlimited"}}
        equal(connection.run(command="ulimit -f", rlimits=unlimited).stdout, b"unlimited\n")


@test()
def a_wrong_resource_limit_is_a_typed_error(case):
    _, connection = started(case)
    error = fails(lambda: connection.run(["true"], rlimits={"nonsense": {"soft": 1, "hard": 1}}), "INVALID_PARAMS")
    check("nonsense" in f"{error.object} {error.message}", f"the error names it: {error}")
    for limit in ({"soft": 2, "hard": 1}, {"soft": -5, "hard": 1}, {"soft": 1}, {"soft": "many", "hard": 1}, 7):
        try:
            connection.run(["true"], rlimits={"nofile": limit})
            raise Failure(f"{limit} was accepted")
        except RpcError as wrong:
            check(wrong.name in ("INVALID_PARAMS", "SPAWN"), f"{limit}: {wrong}")


@test()
def a_child_inherits_nothing_of_the_agent(case):
    _, connection = started(case)
    code = "import os\nprint(sorted(n for n in os.listdir('/proc/self/fd') if os.path.exists('/proc/self/fd/' + n)))"
    equal(connection.run(python(code)).stdout, b"['0', '1', '2']\n")
    run = connection.run(["/bin/grep", "-E", "^Sig(Blk|Ign|Cgt)", "/proc/self/status"])
    masks = dict(line.split(b":\t") for line in run.stdout.splitlines())
    equal((int(masks[b"SigBlk"], 16), int(masks[b"SigIgn"], 16)), (0, 0), "blocked and ignored signals")


@test()
def a_child_leads_its_own_session(case):
    _, connection = started(case)
    run = connection.run(["/bin/sh", "-c", "echo $$; cat /proc/$$/stat"])
    pid, fields = run.stdout.split(b"\n", 1)
    _, _, group, session, terminal = fields.rsplit(b")", 1)[1].split()[:5]
    equal((group, session, terminal), (pid, pid, b"0"))
    equal(int(pid), run.started["pid"])


@test()
def standard_streams_are_blocking_pipes_that_can_be_opened_again(case):
    _, connection = started(case)
    code = (
        "import os, stat, fcntl\n"
        "for fd in 0, 1, 2:\n"
        "  print(stat.S_ISFIFO(os.fstat(fd).st_mode), bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK))"
    )
    run = connection.run(python(code), input=b"")
    equal(run.stdout, b"True False\n" * 3)
    run = connection.run(command="echo out >/dev/stdout; echo err >/dev/stderr")
    equal((run.stdout, run.stderr), (b"out\n", b"err\n"))


@test()
def the_oom_score_of_a_child_is_not_the_agents(case):
    _, connection = started(case)
    own = int(open("/proc/self/oom_score_adj", encoding="ascii").read())
    score = int(connection.run(["/bin/cat", "/proc/self/oom_score_adj"]).stdout)
    check(score in (0, own), f"{score}, ours is {own}")


# Errors of the start


def quickly(connection, name="SPAWN", within=0.1, **start):
    """The start fails in milliseconds; returns the error."""
    started_at = time.monotonic()
    error = fails(lambda: connection.run(**start), name)
    at_most(time.monotonic() - started_at, scaled(within), f"seconds to {error}")
    return error


def stage_of(error):
    return error.op, error.errno


@test()
def a_start_that_fails_says_stage_and_errno(case):
    _, connection = started(case)
    plain = script(case, "plain", "text\n", 0o644)
    garbage = script(case, "garbage", "\x7fnot a program\n")
    lost = script(case, "lost", "#!/no/such/interpreter\n")
    cases = (
        ("not found", {"argv": ["/no/such/program"]}, ("execve", "ENOENT")),
        ("not on the path", {"argv": ["no-such-program"]}, ("execve", "ENOENT")),
        ("not executable", {"argv": [plain]}, ("execve", "EACCES")),
        ("a directory", {"argv": [case.directory]}, ("execve", "EACCES")),
        ("no program", {"argv": [garbage]}, ("execve", "ENOEXEC")),
        ("bad interpreter", {"argv": [lost]}, ("interpreter", "ENOENT")),
        ("below a file", {"argv": [plain + "/x"]}, ("execve", "ENOTDIR")),
        ("no directory", {"argv": ["true"], "cwd": case.path("none")}, ("chdir", "ENOENT")),
        ("a file as directory", {"argv": ["true"], "cwd": plain}, ("chdir", "ENOTDIR")),
        ("argument too long", {"argv": ["/bin/true", "x" * 200000]}, ("execve", "E2BIG")),
    )
    for about, start, expected in cases:
        error = quickly(connection, **start)
        equal(stage_of(error), expected, f"{about}: {error}")
    equal(quickly(connection, argv=["/no/such/program"]).object, "/no/such/program")
    equal(connection.run(["true"]).code, 0, "the agent goes on")


@test()
def a_directory_that_may_not_be_entered_is_an_error_of_chdir(case):
    needs(os.geteuid() != 0, "root may enter every directory")
    _, connection = started(case)
    os.mkdir(case.path("closed"), 0)
    equal(stage_of(quickly(connection, argv=["true"], cwd=case.path("closed"))), ("chdir", "EACCES"))


@test()
def arguments_beyond_the_limits_are_refused(case):
    _, connection = started(case)
    limits = connection.hello["limits"]
    many = ["true"] + ["x"] * limits["arguments"]
    for start in (
        {"argv": many},
        {"argv": ["true"], "env": {f"V{n}": "x" for n in range(limits["environment"] + 1)}},
        {"argv": ["true"] + ["x" * 100000] * (limits["argument_bytes"] // 100000 + 1)},
        {"argv": ["true"], "cwd": "/" + "x" * limits["path"]},
    ):
        try:
            connection.run(**start)
            raise Failure("was accepted")
        except RpcError as error:
            check(error.name in ("EXHAUSTED", "INVALID_PARAMS"), f"{error}")
            check(error.object or error.message, f"names what: {error}")
    equal(connection.run(["true"]).code, 0, "the agent goes on")


@test()
def a_failed_start_leaves_nothing_behind(case):
    agent, connection = started(case)
    connection.run(["true"])
    before = agent.descriptors()
    for _ in range(50):
        fails(lambda: connection.run(["/no/such/program"], id="the-id", key="the-key"), "SPAWN")
    equal(connection.run(["true"], id="the-id", key="the-key").code, 0, "the id and the key are free")
    agent.expect_descriptors(before)
    agent.expect_no_workload()


if __name__ == "__main__":
    main()
