#!/usr/bin/env python3
"""What programs do with their pipes, and output that comes in unusual pieces."""

import os
import signal
import time

from support import payload
from support.agent import Agent
from support.expect import attached, python, started, zeros
from support.tap import at_most, check, equal, eventually, main, scaled, test
from support.wire import INITIAL_CREDIT, STDERR, STDOUT, Run

MIB = 1 << 20
READ_THE_PIPE_ITSELF = "import os; fd = os.open('/proc/self/fd/1', os.O_RDONLY | os.O_NONBLOCK)\n"


@test()
def an_output_that_is_closed_early_ends_before_the_exit(case):
    _, connection = started(case)
    run = connection.run(command="echo first; exec >&-; sleep 0.3; echo second >&2; exit 3")
    log = run.stream.log
    equal((run.stdout, run.stderr, run.code), (b"first\n", b"second\n", 3))
    check(log.index(("end", STDOUT, 6, False)) < log.index(("notify", "process.exited")), f"the end comes first: {log}")
    equal(run.response["stdout_closed"], True)


@test()
def a_process_without_outputs_is_followed_to_its_exit(case):
    _, connection = started(case)
    run = connection.run(command="exec >&- 2>&-; sleep 0.2; exit 5", until="closed")
    equal((run.stdout, run.stderr, run.code), (b"", b"", 5))


@test()
def packets_of_a_pipe_in_packet_mode_arrive_whole(case):
    """Each write is a packet, of which a read that is too short throws the rest away (pipe(2))."""
    _, connection = started(case)
    code = (
        "import os, fcntl\n"
        "fcntl.fcntl(1, fcntl.F_SETFL, os.O_DIRECT | os.O_WRONLY)\n"
        "for i in range(3000): os.write(1, b'%07d ' % i * 60)\n"
    )
    expected = b"".join(b"%07d " % i * 60 for i in range(3000))
    for ring in (65536, MIB):
        run = connection.run(python(code), ring_bytes=ring)
        equal(run.code, 0)
        equal(len(run.stdout), len(expected), f"bytes with a ring of {ring}")
        equal(run.stdout == expected, True, "the same bytes")
        equal(connection.run(["/bin/echo", "others"]).stdout, b"others\n")


@test()
def a_pipe_that_the_process_makes_larger_loses_nothing(case):
    _, connection = started(case)
    code = (
        "import os, fcntl, time\n"
        "size = fcntl.fcntl(1, 1031, 1048576)\n"
        "data = bytes(range(256)) * 4096\n"
        "at = 0\n"
        "while at < len(data): at += os.write(1, data[at:])\n"
        "os._exit(0)\n"
    )
    run = connection.run(python(code), ring_bytes=65536)
    equal((run.stdout == bytes(range(256)) * 4096, run.code, run.gaps[STDOUT]), (True, 0, []))


@test()
def a_process_that_reads_its_own_output_robs_only_itself(case):
    agent, connection = started(case)
    code = (
        READ_THE_PIPE_ITSELF
        + "for i in range(3000):\n"
        + "  os.write(1, b'x' * 1000)\n"
        + "  try: os.read(fd, 777)\n"
        + "  except BlockingIOError: pass\n"
    )
    run = connection.run(python(code))
    equal(run.code, 0)
    at_most(len(run.stdout), 3000 * 1000, "bytes")
    equal(connection.run(["/bin/echo", "others"]).stdout, b"others\n")
    agent.restart_agent()
    equal(agent.connect().run(["/bin/echo", "others"]).stdout, b"others\n")


@test()
def a_process_that_makes_its_pipe_non_blocking_hurts_nobody(case):
    _, connection = started(case)
    code = "import os\nos.set_blocking(0, False)\nos.set_blocking(1, False)\nos.write(1, b'ok')"
    equal(connection.run(python(code), input=b"x" * 100).stdout, b"ok")
    equal(connection.run(payload.command("read"), input=payload.Payload(3).at(0, MIB)).stdout, b"%d None\n" % MIB)


@test(timeout=30)
def output_in_single_bytes_keeps_every_byte_and_its_stream(case):
    """More changes between the streams than any index of their order can hold."""
    _, connection = started(case)
    count = 50000
    code = f"import os\nfor i in range({count}): os.write(1 + i % 2, bytes([i // 2 % 251]))"
    expected = bytes(i // 2 % 251 for i in range(0, count, 2))
    live = connection.run(python(code), interleaved=True)
    for run in (live, attached(connection, live.id, interleaved=True), attached(connection, live.id)):
        equal((run.stdout == expected, run.stderr == expected), (True, True))
        equal((run.gaps[STDOUT], run.gaps[STDERR]), ([], []))


@test()
def interleaved_output_goes_on_from_the_middle(case):
    _, connection = started(case)
    code = "import os, time\nfor i in range(10):\n  os.write(1 + i % 2, b'%02d ' % i)\n  time.sleep(0.01)\n"
    live = connection.run(python(code))
    run = attached(connection, live.id, interleaved=True, stdout_from=6, stderr_from=3)
    equal((run.stdout, run.stderr), (b"04 06 08 ", b"03 05 07 09 "))
    channels = [entry[1] for entry in run.stream.log if entry[0] == "data"]
    equal(channels[0], STDERR, "03 came before 04")


@test(timeout=30)
def an_attach_without_follow_delivers_more_than_the_first_credit(case):
    _, connection = started(case)
    size = 8 * MIB
    result = connection.call("process.start", argv=payload.command("write", size), policy="block", ring_bytes=size)
    connection.call("process.wait", id=result["id"])
    eventually(lambda: connection.call("process.get", id=result["id"])["stdout"]["end"] == size, 5, "all is read")
    sinks = {STDOUT: payload.Checker(1), STDERR: payload.Checker(2)}
    stream = connection.attach(result["id"], sinks=sinks, follow=False)
    stream.wait(20)
    equal([(s.offset, s.wrong_at) for s in sinks.values()], [(size, None), (size, None)])


@test()
def a_ring_smaller_than_the_credit_flows(case):
    _, connection = started(case)
    size = 4 * MIB
    sinks = {STDOUT: payload.Checker(1), STDERR: payload.Checker(2)}
    run = connection.run(payload.command("write", size), sinks=sinks, ring_bytes=65536)
    equal([(s.offset, s.wrong_at) for s in sinks.values()], [(size, None), (size, None)])
    equal(run.gaps, {STDOUT: [], STDERR: []})


@test()
def one_stream_without_credit_holds_only_its_own_process(case):
    _, connection = started(case)
    stuck = [connection.start(zeros(64 * MIB), credit="manual", ring_bytes=65536) for _ in range(20)]
    for stream in stuck:
        connection.until(lambda: stream.channels[STDOUT].next >= INITIAL_CREDIT, 10, "the credit is used")
    run = connection.run(zeros(4 * MIB))
    equal(len(run.stdout), 4 * MIB)
    for stream in stuck:
        connection.call("process.kill", id=stream.note("process.started")["process"], signal="KILL")


@test()
def the_exit_of_a_process_with_a_full_pipe_and_no_reader_is_told_with_its_end(case):
    _, connection = started(case)
    result = connection.call("process.start", argv=zeros(60000))
    equal(connection.call("process.wait", id=result["id"])["exit"]["code"], 0)
    run = attached(connection, result["id"])
    equal((len(run.stdout), run.drained["stdout"]), (60000, 60000))


# After the agent was killed


@test()
def what_a_background_job_writes_after_a_kill_is_delivered(case):
    agent, connection = started(case)
    run = connection.run(command="(read x <'%s'; echo late) & echo early; exit 2" % fifo(case))
    equal((run.stdout, run.code), (b"early\n", 2))
    agent.restart_agent()
    again = agent.connect()
    stream = again.attach(run.id, until="closed")
    stream.wait_note("process.started")
    with open(case.path("fifo"), "w", encoding="ascii") as file:
        file.write("go\n")
    stream.wait()
    equal((Run(stream).stdout, Run(stream).response["stdout_closed"]), (b"early\nlate\n", True))


def fifo(case):
    os.mkfifo(case.path("fifo"))
    return case.path("fifo")


@test()
def drain_ms_still_holds_after_a_kill(case):
    agent, connection = started(case)
    began = time.monotonic()
    run = connection.run(command="sleep 100 & echo $!", drain_ms=600)
    agent.restart_agent()
    again = attached(agent.connect(), run.id, until="closed")
    took = time.monotonic() - began
    check(0.55 <= took <= scaled(4), f"took {took:.2f} s")
    equal((again.stream.channels[STDOUT].truncated, again.stdout), (True, run.stdout))
    os.kill(int(run.stdout), signal.SIGKILL)


@test()
def the_order_of_arrival_is_kept_across_a_kill(case):
    agent, connection = started(case)
    code = "import os, time\nfor i in range(40):\n  os.write(1 + i % 2, b'%02d ' % i)\n  time.sleep(0.01)\n"
    process = connection.call("process.start", argv=python(code))["id"]
    time.sleep(0.2)
    agent.restart_agent()
    run = attached(agent.connect(), process, interleaved=True)
    data = {STDOUT: run.stdout, STDERR: run.stderr}
    equal(run.stdout, b"".join(b"%02d " % i for i in range(0, 40, 2)))
    equal(run.stderr, b"".join(b"%02d " % i for i in range(1, 40, 2)))
    ordered = b"".join(data[e[1]][e[2] : e[2] + e[3]] for e in run.stream.log if e[0] == "data")
    numbers = [int(n) for n in ordered.split()]
    # Whatever came while there was no agent has lost its order.
    displaced = sum(1 for a, b in zip(numbers, numbers[1:]) if b != a + 1)
    at_most(displaced, 12, f"breaks in the order {numbers}")


@test()
def input_that_waits_in_the_agent_when_it_dies_is_asked_for_again(case):
    agent, connection = started(case)
    size = 1500000  # more than a pipe takes, at its largest
    text = payload.Payload(3).at(0, size)
    stream = connection.start(
        ["/bin/sh", "-c", f"read go <'{fifo(case)}'; exec \"$@\"", "sh", *payload.command("read")], stdin="pipe"
    )
    process = stream.wait_note("process.started")["process"]
    stream.write(text)
    connection.drain(0.2)
    agent.restart_agent()
    again = agent.connect().attach(process, stdin=True)
    offset = int(again.wait_note("process.started")["stdin_offset"])
    check(stream.input.consumed <= offset < size, f"consumed {stream.input.consumed}, offset {offset}")
    again.write(text[offset:])
    again.close_input()
    with open(case.path("fifo"), "w", encoding="ascii") as file:
        file.write("go\n")
    again.wait()
    equal(Run(again).stdout, b"%d None\n" % size)


@test()
def closed_input_stays_closed_after_a_kill(case):
    agent, connection = started(case)
    process = connection.call("process.start", command="cat; read x <'%s'; exit 4" % fifo(case), stdin="pipe")["id"]
    connection.call("process.stdin", id=process, data="abc", close=True)
    agent.restart_agent()
    connection = agent.connect()
    record = connection.call("process.get", id=process)
    equal((record["stdin"]["offset"], record["stdin"]["closed"]), (3, True))
    stream = connection.attach(process, stdin=True)
    equal(int(stream.wait_note("process.started")["stdin_offset"]), 3)
    stream.close_input()  # as a client does that does not know whether its END arrived
    with open(case.path("fifo"), "w", encoding="ascii") as file:
        file.write("\n")
    stream.wait()
    equal((Run(stream).stdout, Run(stream).code), (b"abc", 4))


@test()
def a_kill_request_can_be_repeated_after_the_agent_died(case):
    agent, connection = started(case)
    process = connection.call("process.start", command="trap '' TERM; echo ready; while :; do sleep 0.05; done")["id"]
    eventually(lambda: connection.call("process.get", id=process)["stdout"]["end"], 5, "ready")
    connection.request("process.kill", {"id": process, "grace_ms": 100000})
    connection.ping()
    agent.restart_agent()
    equal(agent.connect().call("process.kill", id=process, grace_ms=200)["exit"]["signal"], 9)
    agent.expect_no_workload()


@test()
def text_mode_goes_on_after_a_kill(case):
    agent = Agent(case)
    with agent.connect_text() as link:
        link.send(
            "process.start",
            {"command": f"echo one; read x <'{fifo(case)}'; echo two; exit 6", "attach": True, "id": "t"},
        )
        while link.receive()["method"] != "process.output":
            pass
        agent.restart_agent()
        equal(link.receive(), None, "the end of the connection")
    with agent.connect_text() as link:
        request = link.send("process.attach", {"id": "t", "stdout_from": 4})
        eventually(lambda: link.receive()["method"] == "process.started", 5, "started")
        with open(case.path("fifo"), "w", encoding="ascii") as file:
            file.write("\n")
        message = link.answer(request)
        equal((message["result"]["exit"]["code"], message["result"]["stdout"]), (6, 8))


if __name__ == "__main__":
    main()
