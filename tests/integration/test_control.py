#!/usr/bin/env python3
"""Time limits, signals and the record of a process: PROTOCOL.md section 10."""

import os
import signal
import time

from support import proc
from support.expect import fails, started
from support.tap import check, equal, eventually, main, scaled, test
from support.wire import STDOUT, Run

# Time limits, signals, kill


@test()
def a_time_limit_ends_with_term(case):
    _, connection = started(case)
    run = connection.run(["/bin/sleep", "100"], timeout_ms=200)
    equal((run.signal, run.exit["timed_out"]), (signal.SIGTERM.value, True))
    check(190 <= run.exit["wall_ms"] <= scaled(1500), f"{run.exit}")


@test()
def a_process_that_ignores_term_is_killed_after_the_grace(case):
    _, connection = started(case)
    run = connection.run(command="trap '' TERM; echo ready; while :; do sleep 0.05; done", timeout_ms=300, grace_ms=300)
    equal((run.signal, run.exit["timed_out"]), (signal.SIGKILL.value, True))
    check(590 <= run.exit["wall_ms"] <= scaled(2500), f"{run.exit}")


@test()
def a_time_limit_that_is_not_reached_changes_nothing(case):
    _, connection = started(case)
    run = connection.run(command="exit 3", timeout_ms=10000)
    equal((run.code, bool(run.exit.get("timed_out"))), (3, False))


@test()
def a_process_that_handles_the_time_limit_has_its_own_code(case):
    _, connection = started(case)
    run = connection.run(command="trap 'exit 33' TERM; while :; do sleep 0.02; done", timeout_ms=200)
    equal((run.code, run.exit["timed_out"]), (33, True))


def family(connection, inner):
    """A shell with one child; returns the stream, the id, and both pids."""
    stream = connection.start(["/bin/sh", "-c", f"{inner} & echo $$ $!; wait"])
    connection.until(lambda: stream.channels[STDOUT].bytes.count(b"\n") == 1, 5, "the pids")
    leader, child = map(int, stream.channels[STDOUT].bytes.split())
    process = stream.note("process.started")["process"]
    eventually(lambda: proc.arguments(child)[:1] not in ([b"/bin/sh"], []), 5, "the child's execve")
    return stream, process, leader, child


def gone(pid):
    eventually(lambda: not proc.is_running(pid), 5, f"{pid} ends")


@test()
def scope_leader_signals_the_leader_only(case):
    agent, connection = started(case)
    stream, process, leader, child = family(connection, "sleep 100")
    equal(connection.call("process.signal", id=process, signal="KILL", scope="leader")["sent"], 1)
    equal(stream.wait()["exit"]["signal"], 9)
    gone(leader)
    check(proc.is_running(child), "the child lives")
    os.kill(child, signal.SIGKILL)
    agent.expect_no_workload()


@test()
def scope_group_is_the_default_and_reaches_the_children(case):
    agent, connection = started(case)
    stream, process, leader, child = family(connection, "sleep 100")
    check(connection.call("process.signal", id=process, signal="KILL")["sent"] >= 1, "sent")
    stream.wait()
    gone(leader)
    gone(child)
    agent.expect_no_workload()


@test()
def scope_tree_reaches_those_who_left_the_group(case):
    agent, connection = started(case)
    stream, process, leader, child = family(connection, "setsid sleep 100")
    eventually(lambda: os.getpgid(child) == child, 5, "the child leads a group of its own")
    check(connection.call("process.signal", id=process, signal="KILL", scope="tree")["sent"] >= 2, "sent")
    stream.wait()
    gone(leader)
    gone(child)
    agent.expect_no_workload()


@test()
def a_group_can_be_signalled_after_its_leader_has_exited(case):
    agent, connection = started(case)
    run = connection.run(command="sleep 100 & echo $!")
    child = int(run.stdout)
    check(proc.is_running(child), "the child lives")
    sent = connection.call("process.signal", id=run.id, signal="KILL", scope="leader")["sent"]
    equal(sent, 0, "an exited process gets nothing")
    sent = connection.call("process.signal", id=run.id, signal="KILL")["sent"]
    equal(sent, 1, "its group is still there")
    gone(child)
    agent.expect_no_workload()


@test(timeout=30)
def what_short_processes_leave_behind_can_be_reached(case):
    agent, connection = started(case)
    for _ in range(5):
        streams = [connection.start(["/bin/sh", "-c", "sleep 100 & exit 0"]) for _ in range(16)]
        for stream in streams:
            stream.wait(20)
            check(stream.note("process.started")["pid"] > 0, "the pid is told")
            process = stream.note("process.started")["process"]
            equal(connection.call("process.signal", id=process, signal="KILL")["sent"], 1, "the group is reached")
    agent.expect_no_workload()


@test()
def signals_go_by_name_and_number(case):
    _, connection = started(case)
    stream = connection.start(["/bin/sh", "-c", "trap 'echo got' USR1; echo ready; while :; do sleep 0.01; done"])
    connection.until(lambda: stream.channels[STDOUT].bytes == b"ready\n", 5, "ready")
    process = stream.note("process.started")["process"]
    for count, name in enumerate(("USR1", "SIGUSR1", signal.SIGUSR1.value), 1):
        check(connection.call("process.signal", id=process, signal=name, scope="leader")["sent"] == 1, "sent")
        connection.until(lambda: stream.channels[STDOUT].bytes.count(b"got") == count, 5, f"signal {name}")
    for wrong in ("NOPE", 65, -1, "", True):
        fails(lambda: connection.call("process.signal", id=process, signal=wrong), "INVALID_PARAMS")
    fails(lambda: connection.call("process.signal", id=process, signal="TERM", scope="all"), "INVALID_PARAMS")
    fails(lambda: connection.call("process.signal", id="nobody", signal="TERM"), "NOT_FOUND")
    connection.call("process.kill", id=process, signal="KILL")
    stream.wait()
    # The loop's own child may be a zombie of the group for a moment.
    eventually(lambda: connection.call("process.signal", id=process, signal="TERM")["sent"] == 0, 5, "nobody is left")


@test()
def kill_goes_from_term_to_kill_and_can_be_repeated(case):
    agent, connection = started(case)
    stream = connection.start(["/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"])
    connection.until(lambda: stream.channels[STDOUT].bytes == b"ready\n", 5, "ready")
    process = stream.note("process.started")["process"]
    other = agent.connect()
    both = [connection.request("process.kill", {"id": process, "grace_ms": 200})]
    second = other.request("process.kill", {"id": process, "grace_ms": 200})
    exits = [both[0].wait()["exit"], second.wait()["exit"], connection.call("process.kill", id=process)["exit"]]
    equal([e["signal"] for e in exits], [9, 9, 9])
    stream.wait()
    polite = connection.start(["/bin/sh", "-c", "trap 'exit 7' TERM; echo ready; while :; do sleep 0.02; done"])
    connection.until(lambda: polite.channels[STDOUT].bytes == b"ready\n", 5, "ready")
    equal(connection.call("process.kill", id=polite.note("process.started")["process"])["exit"]["code"], 7)
    polite.wait()


@test()
def kill_takes_the_signal_the_grace_and_the_scope(case):
    agent, connection = started(case)
    stream, process, leader, child = family(connection, "setsid sleep 100")
    answer = connection.call("process.kill", id=process, signal="INT", grace_ms=100, scope="tree")
    check(answer["exit"].get("signal") in (2, 9), f"{answer}")
    gone(leader)
    gone(child)
    stream.wait()
    agent.expect_no_workload()


@test()
def a_stopped_process_can_be_killed(case):
    _, connection = started(case)
    stream = connection.start(["/bin/sleep", "100"])
    process = stream.wait_note("process.started")["process"]
    connection.call("process.signal", id=process, signal="STOP")
    equal(connection.call("process.kill", id=process, grace_ms=100)["exit"]["signal"] in (9, 15), True)
    stream.wait()


# The record


@test()
def wait_can_be_repeated(case):
    agent, connection = started(case)
    process = connection.call("process.start", command="sleep 0.3; exit 8")["id"]
    others = [agent.connect() for _ in range(3)]
    waiting = [c.request("process.wait", {"id": process}) for c in (connection, *others)]
    for request in waiting:
        equal(request.wait()["exit"]["code"], 8)
    for _ in range(3):
        equal(connection.call("process.wait", id=process)["exit"]["code"], 8)
    fails(lambda: connection.call("process.wait", id="nobody"), "NOT_FOUND")


@test()
def a_process_is_forgotten_only_after_its_exit(case):
    _, connection = started(case)
    process = connection.call("process.start", argv=["/bin/sleep", "100"])["id"]
    fails(lambda: connection.call("process.forget", id=process), "STATE", object=process)
    connection.call("process.kill", id=process, signal="KILL")
    equal(connection.call("process.forget", id=process), {})
    for method in ("process.get", "process.wait", "process.forget", "process.attach"):
        fails(lambda: connection.call(method, id=process), "NOT_FOUND", object=process)
    equal(process in [r["id"] for r in connection.processes()], False)


@test()
def the_record_tells_what_runs(case):
    _, connection = started(case)
    before = time.time() * 1000
    result = connection.call(
        "process.start", argv=["/bin/sh", "-c", "printf abc; read x"], stdin="pipe", cwd="/", id="rec"
    )
    eventually(lambda: connection.call("process.get", id="rec")["stdout"]["end"] == 3, 5, "output")
    record = connection.call("process.get", id="rec")
    equal((record["id"], record["pid"], record["state"], record["cwd"]), ("rec", result["pid"], "running", "/"))
    equal(record["argv"], ["/bin/sh", "-c", "printf abc; read x"])
    equal(record["exit"], None)
    check(before - 50 <= int(record["started_at_ms"]) <= time.time() * 1000 + 50, f"{record}")
    equal(
        {k: record["stdout"][k] for k in ("start", "end", "closed", "dropped")},
        {"start": 0, "end": 3, "closed": False, "dropped": 0},
    )
    equal((record["stdin"]["offset"], record["stdin"]["closed"]), (0, False))
    equal([r for r in connection.processes() if r["id"] == "rec"], [record])
    connection.call("process.stdin", id="rec", data="x\n", close=True)
    connection.call("process.wait", id="rec")
    record = connection.call("process.get", id="rec")
    equal((record["state"], record["exit"]["code"]), ("exited", 0))


@test()
def ids_are_chosen_checked_and_unique(case):
    _, connection = started(case)
    long = "x" * 64
    for name in ("a", "A.b_c-9", long, "..", "-"):
        equal(connection.run(["true"], id=name).id, name)
        fails(lambda: connection.run(["true"], id=name), "ALREADY_EXISTS", object=name)
    for wrong in ("", "a b", "a/b", "\u00fc", long + "x", 7, None):
        fails(lambda: connection.run(["true"], id=wrong), "INVALID_PARAMS")
    made = [connection.call("process.start", argv=["true"])["id"] for _ in range(20)]
    equal(len(set(made)), 20)
    connection.call("process.wait", id="a")
    connection.call("process.forget", id="a")
    equal(connection.run(["true"], id="a").id, "a", "free again")


@test()
def a_repeated_key_attaches_instead_of_starting(case):
    _, connection = started(case)
    log = case.path("log")
    start = {"argv": ["/bin/sh", "-c", f"echo once >>{log}; echo output; read x; exit 3"], "key": "k1", "stdin": "pipe"}
    first = connection.call("process.start", **start)
    second = connection.call("process.start", **start)
    equal((second["id"], second["pid"]), (first["id"], first["pid"]))
    stream = connection.request("process.start", {**start, "attach": True})
    equal(stream.wait_note("process.started")["pid"], first["pid"])
    connection.call("process.stdin", id=first["id"], data="\n")
    stream.wait()
    equal((Run(stream).stdout, Run(stream).code), (b"output\n", 3))
    again = connection.request("process.start", {**start, "attach": True})
    again.wait()
    equal((Run(again).stdout, Run(again).code), (b"output\n", 3), "after the exit, too")
    equal(open(log, encoding="ascii").read(), "once\n")
    other = connection.call("process.start", **{**start, "key": "k2"})
    check(other["id"] != first["id"], "another key is another process")
    connection.call("process.kill", id=other["id"], signal="KILL")


@test()
def stdin_is_a_kind_at_the_start_and_a_wish_of_a_stream_later(case):
    _, connection = started(case)
    for wrong in (True, False, "yes", None):
        fails(lambda: connection.call("process.start", argv=["/bin/cat"], stdin=wrong), "INVALID_PARAMS")
    process = connection.call("process.start", argv=["/bin/cat"], stdin="pipe")["id"]
    for wrong in ("pipe", "null", 1):
        fails(lambda: connection.call("process.attach", id=process, stdin=wrong), "INVALID_PARAMS")
    writer = connection.attach(process, stdin=True)
    writer.wait_note("process.started")
    writer.write(b"input")
    writer.close_input()
    writer.wait()
    equal(Run(writer).stdout, b"input")
    deaf = connection.start(["/bin/sleep", "100"], stdin="null")
    process = deaf.wait_note("process.started")["process"]
    closed = connection.attach(process, stdin=True).wait_note("process.stdin_closed")
    equal((closed["offset"], closed["taken"]), (0, False))
    connection.call("process.kill", id=process, signal="KILL")


@test()
def a_reader_that_attaches_again_takes_its_place_from_the_old_stream(case):
    agent, connection = started(case)
    command = "echo one; read x; echo two"
    process = connection.call("process.start", command=command, stdin="pipe")["id"]
    old = connection.attach(process, reader="00000000000000a1")
    connection.until(lambda: old.channels[STDOUT].bytes == b"one\n", 5, "the first line")
    bystander = connection.attach(process, reader="00000000000000a2")
    bystander.wait_note("process.started")
    new = agent.connect().attach(process, reader="00000000000000A1", stdout_from=4)
    equal(int(new.wait_note("process.started")["stdout_from"]), 4)
    error = fails(old.wait, "CANCELLED")
    equal((error.message, error.object), ("another stream has taken over this reader's name", process))
    equal(connection.call("process.get", id=process)["readers"], 2, "one place for the name")
    connection.call("process.stdin", id=process, data="\n")
    new.wait()
    bystander.wait()
    equal((new.channels[STDOUT].bytes, Run(bystander).stdout), (b"two\n", b"one\ntwo\n"))


@test()
def processes_outlive_the_connection_that_started_them(case):
    agent, connection = started(case)
    stream = connection.start(["/bin/sh", "-c", "echo one; read x; echo two; exit 5"], stdin="pipe")
    process = stream.wait_note("process.started")["process"]
    connection.until(lambda: stream.channels[STDOUT].bytes == b"one\n", 5, "output")
    connection.close()
    other = agent.connect()
    again = other.attach(process, stdin=True)
    again.wait_note("process.started")
    again.write(b"\n")
    again.wait()
    equal((Run(again).stdout, Run(again).code), (b"one\ntwo\n", 5))


@test()
def orphans_are_reaped(case):
    agent, connection = started(case)
    run = connection.run(command="i=0; while [ $i -lt 100 ]; do (sleep 0.$((i % 3)) & ) ; i=$((i+1)); done", merge=True)
    equal(run.code, 0)
    agent.expect_no_workload()


@test()
def a_program_that_replaces_itself_keeps_its_record(case):
    _, connection = started(case)
    run = connection.run(["/bin/sh", "-c", "exec /bin/sh -c 'echo $$; exit 4'"])
    equal((int(run.stdout), run.code), (run.started["pid"], 4))


if __name__ == "__main__":
    main()
