#!/usr/bin/env python3
"""Standard input, output and errors of a process, and who holds them: PROTOCOL.md section 10."""

import base64
import os
import signal
import time

from support import payload, proc
from support.expect import fails, python, started
from support.tap import at_most, check, equal, eventually, main, scaled, test
from support.wire import STDERR, STDOUT, Run

MIB = 1 << 20


# Standard input


@test()
def standard_input_is_empty_by_default(case):
    _, connection = started(case)
    equal(connection.run(["/bin/cat"]).stdout, b"")
    equal(connection.run(["/usr/bin/readlink", "/proc/self/fd/0"]).stdout, b"/dev/null\n")


@test()
def standard_input_is_delivered_and_closed(case):
    _, connection = started(case)
    data = bytes(range(256)) * 10
    equal(connection.run(["/bin/cat"], input=data).stdout, data)
    equal(connection.run(["/bin/cat"], input=b"").stdout, b"")


@test()
def standard_input_can_be_answered_turn_by_turn(case):
    _, connection = started(case)
    stream = connection.start(["/bin/cat"], stdin="pipe")
    stream.wait_note("process.started")
    output = stream.channels[STDOUT]
    for turn in range(100):
        stream.write(b"turn %d\n" % turn)
        connection.until(lambda: output.bytes.endswith(b"turn %d\n" % turn), 5, "the echo")
    stream.close_input()
    stream.wait()
    equal(Run(stream).code, 0)


@test(timeout=60)
def sixty_four_mib_of_input_arrive_unchanged(case):
    _, connection = started(case)
    size = 64 * MIB
    run = connection.run(payload.command("read"), input=payload.Payload(3).at(0, size), timeout=50)
    equal(run.stdout, b"%d None\n" % size)
    equal(run.stream.input.consumed, size, "the agent says what was consumed")


@test()
def input_beyond_the_credit_does_not_block_the_connection(case):
    _, connection = started(case)
    stream = connection.start(["/bin/sleep", "100"], stdin="pipe")
    stream.wait_note("process.started")
    stream.write(b"x" * (4 * MIB))
    connection.drain(0.2)
    at_most(stream.input.limit, 2 * MIB, "credit for a process that does not read")
    at_most(connection.ping(), scaled(1), "seconds of a ping")
    connection.call("process.kill", id=stream.note("process.started")["process"], signal="KILL")
    stream.wait()


@test()
def input_is_also_accepted_by_calls(case):
    _, connection = started(case)
    stream = connection.start(["/bin/cat"], stdin="pipe")
    process = stream.wait_note("process.started")["process"]
    equal(connection.call("process.stdin", id=process, data="text ")["offset"], 5)
    binary = {"b64": base64.b64encode(b"\0\xff").decode()}
    equal(connection.call("process.stdin", id=process, data=binary, offset=5)["offset"], 7)
    fails(lambda: connection.call("process.stdin", id=process, data="hole", offset=100), "OFFSET")
    equal(connection.call("process.stdin", id=process, data="xx", offset=5, close=True)["offset"], 7, "a repetition")
    stream.wait()
    equal(Run(stream).stdout, b"text \0\xff")


@test()
def input_can_be_closed_by_a_call(case):
    _, connection = started(case)
    stream = connection.start(["/bin/cat"], stdin="pipe")
    process = stream.wait_note("process.started")["process"]
    connection.call("process.stdin", id=process, data="abc")
    equal(connection.call("process.close_stdin", id=process)["offset"], 3)
    stream.wait()
    equal(Run(stream).stdout, b"abc")
    equal(connection.call("process.close_stdin", id=process)["offset"], 3, "once more")


@test()
def a_process_that_closes_its_input_is_told(case):
    _, connection = started(case)
    stream = connection.start(["/bin/sh", "-c", "exec 0<&-; echo closed; sleep 0.5; exit 4"], stdin="pipe")
    connection.until(lambda: stream.channels[STDOUT].bytes == b"closed\n", 5, "closed")
    stream.write(b"nobody reads this")
    check("offset" in stream.wait_note("process.stdin_closed"), "the offset is told")
    stream.wait()
    equal(Run(stream).code, 4)


@test()
def the_input_of_a_process_without_a_pipe_is_refused(case):
    _, connection = started(case)
    stream = connection.start(["/bin/sleep", "100"])
    process = stream.wait_note("process.started")["process"]
    error = fails(lambda: connection.call("process.stdin", id=process, data="x"), "STATE")
    check(not error.retryable, f"{error}")
    connection.call("process.kill", id=process, signal="KILL")
    stream.wait()


@test()
def two_clients_may_write_one_after_the_other(case):
    agent, first = started(case)
    stream = first.start(["/bin/cat"], stdin="pipe")
    process = stream.wait_note("process.started")["process"]
    stream.write(b"one ")
    first.until(lambda: stream.channels[STDOUT].bytes == b"one ", 5, "the echo")
    second = agent.connect()
    other = second.attach(process, stdin=True)
    equal(int(other.wait_note("process.started")["stdin_offset"]), 4)
    other.write(b"two")
    other.close_input()
    other.wait()
    stream.wait()
    equal(Run(other).stdout, b"one two")


# Output


@test()
def output_is_exact_without_newline_and_with_nul(case):
    _, connection = started(case)
    run = connection.run(["/usr/bin/printf", "a\\0b\\0\\0c"])
    equal(run.stdout, b"a\0b\0\0c")
    equal(connection.run(["/usr/bin/printf", "no newline"]).stdout, b"no newline")
    equal(connection.run(["/bin/true"]).stdout, b"")


@test(timeout=90)
def sixty_four_mib_on_both_streams_arrive_unchanged(case):
    _, connection = started(case)
    size = 64 * MIB
    sinks = {STDOUT: payload.Checker(1), STDERR: payload.Checker(2)}
    run = connection.run(payload.command("write", size), sinks=sinks, timeout=80)
    equal((sinks[STDOUT].offset, sinks[STDERR].offset), (size, size))
    equal((sinks[STDOUT].wrong_at, sinks[STDERR].wrong_at), (None, None), "first wrong byte")
    equal((run.gaps[STDOUT], run.gaps[STDERR], run.code), ([], [], 0))


@test()
def merged_output_keeps_the_order_of_writing(case):
    _, connection = started(case)
    run = connection.run(command="for i in 1 2 3 4 5 6 7 8 9; do echo o$i; echo e$i >&2; done", merge=True)
    equal(run.stdout, b"".join(b"o%d\ne%d\n" % (i, i) for i in range(1, 10)))
    equal((run.stderr, run.started["merged"]), (b"", True))


@test()
def streams_that_are_not_merged_stay_apart(case):
    _, connection = started(case)
    run = connection.run(command="echo out; echo err >&2; echo out2")
    equal((run.stdout, run.stderr, run.started["merged"]), (b"out\nout2\n", b"err\n", False))


@test(timeout=60)
def a_thousand_short_runs_lose_nothing(case):
    agent, connection = started(case)
    connection.run(["/bin/echo", "warm"])
    before = agent.descriptors()
    total = 0
    for number in range(1000):
        run = connection.run(["/bin/echo", str(number)])
        equal((run.stdout, run.stderr, run.code), (b"%d\n" % number, b"", 0))
        total += len(run.stdout)
    equal(total, sum(len(str(n)) + 1 for n in range(1000)))
    agent.expect_descriptors(before)
    agent.expect_no_workload()


@test()
def started_comes_before_all_output(case):
    _, connection = started(case)
    for _ in range(50):
        log = connection.run(["/bin/echo", "quick"]).stream.log
        equal(log[0], ("notify", "process.started"))


@test()
def many_processes_run_side_by_side_on_one_connection(case):
    _, connection = started(case)
    streams = [connection.start(["/bin/sh", "-c", f"sleep 0.{n % 3}; echo {n}; exit {n}"]) for n in range(60)]
    for number, stream in enumerate(streams):
        stream.wait()
        run = Run(stream)
        equal((run.stdout, run.code), (b"%d\n" % number, number))


@test()
def output_of_an_exited_process_is_read_again_and_again(case):
    _, connection = started(case)
    first = connection.run(command="printf 0123456789; printf abc >&2; exit 5")
    for _ in range(3):
        stream = connection.attach(first.id)
        stream.wait()
        again = Run(stream)
        equal((again.stdout, again.stderr, again.code), (b"0123456789", b"abc", 5))
        equal(again.started["running"], False)
    stream = connection.attach(first.id, stdout_from=7, stderr_from=3)
    stream.wait()
    part = Run(stream)
    equal((part.stdout, part.stderr, part.started["stdout_from"]), (b"789", b"", 7))
    fails(lambda: connection.attach(first.id, stdout_from=11).wait(), "OFFSET")
    stream = connection.attach(first.id, tail=True)
    stream.wait()
    equal(Run(stream).stdout, b"")


@test()
def an_attach_without_follow_ends_at_once(case):
    _, connection = started(case)
    stream = connection.start(["/bin/sh", "-c", "echo early; sleep 100"])
    connection.until(lambda: stream.channels[STDOUT].bytes, 5, "output")
    process = stream.note("process.started")["process"]
    began = time.monotonic()
    look = connection.attach(process, follow=False)
    look.wait()
    at_most(time.monotonic() - began, scaled(2), "seconds")
    run = Run(look)
    equal((run.stdout, run.exit, run.response["stdout_closed"]), (b"early\n", None, False))
    equal(run.started["running"], True)
    connection.call("process.kill", id=process, signal="KILL")
    stream.wait()


@test()
def tail_starts_at_the_present_end(case):
    _, connection = started(case)
    stream = connection.start(["/bin/sh", "-c", "echo early; read x; echo late"], stdin="pipe")
    connection.until(lambda: stream.channels[STDOUT].bytes, 5, "output")
    process = stream.note("process.started")["process"]
    tail = connection.attach(process, tail=True)
    equal(tail.wait_note("process.started")["stdout_from"], 6)
    stream.write(b"go\n")
    tail.wait()
    equal(Run(tail).stdout, b"late\n")
    stream.wait()
    equal(Run(stream).stdout, b"early\nlate\n")


@test()
def interleaved_output_comes_in_the_order_of_arrival(case):
    _, connection = started(case)
    code = "import os, time\n" "for i in range(20):\n" "  os.write(1 + i % 2, b'%02d ' % i)\n" "  time.sleep(0.01)\n"
    live = connection.run(python(code), interleaved=True)
    stream = connection.attach(live.id, interleaved=True)
    stream.wait()
    for run in (live, Run(stream)):
        data = {STDOUT: run.stdout, STDERR: run.stderr}
        ordered = b"".join(data[e[1]][e[2] : e[2] + e[3]] for e in run.stream.log if e[0] == "data")
        equal(ordered, b"".join(b"%02d " % i for i in range(20)))


@test()
def a_ring_that_drops_names_exactly_what_is_gone(case):
    _, connection = started(case)
    size = MIB
    result = connection.call(
        "process.start", argv=payload.command("write", size), policy="drop", ring_bytes=65536, attach=False
    )
    equal(result["attached"], False)
    connection.call("process.wait", id=result["id"])
    sinks = {}
    record = eventually(lambda: finished(connection, result["id"]), 5, "the streams close")
    for channel, seed, name in ((STDOUT, 1, "stdout"), (STDERR, 2, "stderr")):
        sinks[channel] = payload.Checker(seed, offset=int(record[name]["start"]))
    stream = connection.attach(result["id"], sinks=sinks)
    stream.wait()
    for channel, name in ((STDOUT, "stdout"), (STDERR, "stderr")):
        incoming, about = stream.channels[channel], record[name]
        equal(incoming.gaps, [(0, int(about["start"]))], name)
        equal((int(about["end"]), incoming.next, incoming.end), (size, size, size), name)
        equal(int(about["dropped"]), int(about["start"]), name)
        check(size - int(about["start"]) >= 32768, f"much of the ring is kept: {about}")
        equal(sinks[channel].wrong_at, None, name)


def finished(connection, process):
    record = connection.call("process.get", id=process)
    return record if record["stdout"]["closed"] and record["stderr"]["closed"] else None


@test()
def a_ring_that_blocks_keeps_everything(case):
    _, connection = started(case)
    result = connection.call("process.start", argv=payload.command("write", 2 * MIB), policy="block", ring_bytes=65536)

    def stalled():
        first = connection.call("process.get", id=result["id"])["stdout"]["end"]
        time.sleep(0.1)
        return first if first and first == connection.call("process.get", id=result["id"])["stdout"]["end"] else None

    at_most(int(eventually(stalled, 10, "the ring fills")), 65536, "bytes in the ring")
    sinks = {STDOUT: payload.Checker(1), STDERR: payload.Checker(2)}
    stream = connection.attach(result["id"], sinks=sinks)
    stream.wait()
    equal([s.offset for s in sinks.values()], [2 * MIB, 2 * MIB])
    equal([s.wrong_at for s in sinks.values()], [None, None])
    equal(stream.channels[STDOUT].gaps, [])


@test()
def the_size_of_a_ring_is_checked(case):
    _, connection = started(case)
    for size in (0, 65535, 64 * MIB + 1, -1, "big"):
        error = fails(lambda: connection.run(["true"], ring_bytes=size), "INVALID_PARAMS")
        check("ring_bytes" in f"{error.object} {error.message}", f"{error}")
    equal(connection.run(["/bin/echo", "x"], ring_bytes=65537).stdout, b"x\n")


@test()
def a_second_lossless_reader_gets_everything_too(case):
    agent, first = started(case)
    size = 4 * MIB
    sinks = {STDOUT: payload.Checker(1), STDERR: payload.Checker(2)}
    argv = ["/bin/sh", "-c", 'read go; exec "$@"', "sh", *payload.command("write", size)]
    stream = first.start(argv, sinks=sinks, stdin="pipe")
    process = stream.wait_note("process.started")["process"]
    second = agent.connect()
    reader = case.thread(lambda: follow(second, process))
    eventually(lambda: first.call("process.get", id=process)["readers"] == 2, 5, "both are attached")
    stream.write(b"go\n")
    stream.wait(30)
    others = reader.join(30)
    equal([s.offset for s in (*sinks.values(), *others.values())], [size] * 4)
    equal([s.wrong_at for s in (*sinks.values(), *others.values())], [None] * 4)


def follow(connection, process):
    sinks = {STDOUT: payload.Checker(1), STDERR: payload.Checker(2)}
    connection.attach(process, sinks=sinks).wait(30)
    return sinks


# Those who hold the outputs


@test()
def a_background_job_does_not_delay_the_exit(case):
    agent, connection = started(case)
    began = time.monotonic()
    run = connection.run(command="nohup sh -c 'exec sleep 100' & echo $!; exit 6", stdin="null")
    at_most(time.monotonic() - began, scaled(2), "seconds to the response")
    equal((run.code, run.response["stdout_closed"], run.response["stderr_closed"]), (6, False, False))
    check(run.drained is not None, "drained was told")
    equal(run.drained["stdout"], len(run.stdout))
    child = int(run.stdout.split()[-1])
    record = connection.call("process.get", id=run.id)
    equal((record["state"], record["stdout"]["closed"]), ("exited", False))
    check(proc.is_running(child), "the job lives on")
    for pid in [child, *proc.children(child)]:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: connection.call("process.get", id=run.id)["stdout"]["closed"], 5, "closed with its last writer")


@test()
def until_closed_waits_for_the_last_writer(case):
    _, connection = started(case)
    run = connection.run(command="(sleep 0.4; echo late) & echo early; exit 2", until="closed")
    equal((run.stdout, run.code), (b"early\nlate\n", 2))
    equal((run.response["stdout_closed"], run.response["stderr_closed"]), (True, True))
    positions = [run.stream.log.index(("notify", n)) for n in ("process.exited", "process.drained")]
    late = [i for i, e in enumerate(run.stream.log) if e[0] == "data"][-1]
    check(max(positions) < late, f"exited and drained come before the late output: {run.stream.log}")
    ends = [e[1] for e in run.stream.log if e[0] == "end"]
    equal(sorted(ends), [STDOUT, STDERR])


@test()
def drain_ms_gives_the_outputs_up(case):
    agent, connection = started(case)
    began = time.monotonic()
    run = connection.run(command="sleep 100 & echo $!", until="closed", drain_ms=300)
    took = time.monotonic() - began
    check(0.29 <= took <= scaled(3), f"took {took} s")
    channels = run.stream.channels
    equal((channels[STDOUT].truncated, channels[STDERR].truncated), (True, True))
    equal(channels[STDOUT].end, len(run.stdout))
    os.kill(int(run.stdout), signal.SIGKILL)
    agent.expect_no_workload()


@test()
def an_end_by_the_last_writer_is_not_truncated(case):
    _, connection = started(case)
    run = connection.run(command="echo x", until="closed", drain_ms=1000)
    equal((run.stream.channels[STDOUT].end, run.stream.channels[STDOUT].truncated), (2, False))


if __name__ == "__main__":
    main()
