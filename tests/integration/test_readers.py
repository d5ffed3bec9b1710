#!/usr/bin/env python3
"""Readers that go away and come back, and connections that are cut.

NSP_LONG=1 cuts at every byte.
"""

import time

from support import payload
from support.agent import Agent
from support.expect import Follower, attached
from support.tap import Failure, check, equal, main, number_from_environment, test
from support.wire import INITIAL_CREDIT, STDERR, STDOUT, Connection, Cut, RpcError

MIB = 1 << 20
LONG = number_from_environment("NSP_LONG", 0)


# Readers


@test()
def a_held_reader_loses_nothing_while_it_is_away(case):
    agent = Agent(case)
    size = 4 * MIB
    follower = Follower(agent.address, "held", "0123456789abcdef")
    connection = agent.connect()
    stream = connection.start(
        payload.command("write", size),
        id="held",
        credit="manual",
        sinks=follower.sinks,
        ring_bytes=65536,
        **follower.fields,
    )
    connection.until(lambda: follower.sinks[STDOUT].offset > 1000, 5, "output")
    connection.close()
    time.sleep(0.3)
    follower.follow()
    follower.expect(size, 0)
    equal(stream.done, False)


@test()
def a_reader_that_stays_away_too_long_gets_a_gap(case):
    agent = Agent(case)
    size = 4 * MIB
    connection = agent.connect()
    fields = {"reader": "0123456789abcdef", "hold_ms": 200, "ring_bytes": 65536}
    connection.start(payload.command("write", size), id="late", credit="manual", **fields)
    connection.until(lambda: connection.streams[connection.last_stream].channels[STDOUT].next, 5, "output")
    connection.close()
    other = agent.connect()
    equal(other.call("process.wait", id="late")["exit"]["code"], 0, "nobody blocks the process any more")
    stream = other.attach("late", reader="0123456789abcdef")
    stream.wait()
    gaps = stream.channels[STDOUT].gaps
    check(gaps and gaps[0][0] == 0 and 0 < gaps[0][1] < size, f"gaps: {gaps}")
    equal(stream.channels[STDOUT].next, size)


@test()
def a_hold_survives_the_death_of_the_agent(case):
    agent = Agent(case)
    size = 4 * MIB
    follower = Follower(agent.address, "held", "0123456789abcdef")
    connection = agent.connect()
    connection.start(
        payload.command("write", size),
        id="held",
        credit="manual",
        sinks=follower.sinks,
        ring_bytes=65536,
        **follower.fields,
    )
    connection.until(lambda: follower.sinks[STDERR].offset > 1000, 5, "output")
    agent.kill_agent()
    time.sleep(0.2)
    agent.kill_agent()
    follower.follow()
    follower.expect(size, 0)


@test()
def a_reader_that_is_not_lossless_never_holds_up_a_process(case):
    agent = Agent(case)
    connection = agent.connect()
    size = 8 * MIB
    stream = connection.start(payload.command("write", size), credit="manual", lossless=False, ring_bytes=65536)
    process = stream.wait_note("process.started")["process"]
    equal(agent.connect().call("process.wait", id=process)["exit"]["code"], 0)
    for channel in (STDOUT, STDERR):
        stream.grant(channel, size + INITIAL_CREDIT)
    stream.wait()
    for channel in (STDOUT, STDERR):
        incoming = stream.channels[channel]
        got = len(incoming.bytes)
        equal(got + sum(to - at for at, to in incoming.gaps), size, "bytes and gaps together")
        check(incoming.gaps, "there is a gap")


@test()
def more_lossless_readers_than_promised_are_refused(case):
    agent = Agent(case)
    connection = agent.connect()
    process = connection.call("process.start", argv=["/bin/sleep", "100"])["id"]
    limit = connection.hello["limits"]["readers"]
    for _ in range(limit):
        connection.attach(process).wait_note("process.started")
    try:
        connection.attach(process).wait()
        raise Failure("was accepted")
    except RpcError as error:
        equal(error.name, "EXHAUSTED")
        check("readers" in f"{error.object} {error.message}".lower(), f"{error}")
    connection.attach(process, lossless=False).wait_note("process.started")
    connection.call("process.kill", id=process, signal="KILL")


@test()
def wrong_reader_fields_are_refused(case):
    connection = Agent(case).connect()
    run = connection.run(["/bin/echo", "x"])
    limit = connection.hello["limits"]["hold_max"]
    for fields in (
        {"reader": "xyz"},
        {"reader": "0123456789ABCDEFG"},
        {"reader": ""},
        {"hold_ms": limit + 1},
        {"hold_ms": -1},
    ):
        try:
            attached(connection, run.id, **fields)
            raise Failure(f"{fields} was accepted")
        except RpcError as error:
            equal(error.name, "INVALID_PARAMS", f"{fields}")


# Cuts

INPUT = [b"first piece\n", b"second\0piece\xff\n", b"third and last"]


def session(connection, log, progress):
    """One run by key, from wherever it stands; progress collects what has been received."""
    command = f"echo run >>{log}; printf err >&2; cat; exit 9"
    start = {
        "command": command,
        "key": "the-key",
        "id": "the-id",
        "stdin": "pipe",
        "attach": True,
        "until": "closed",
        "reader": "00000000000000cc",
        "stdout_from": len(progress[STDOUT]),
        "stderr_from": len(progress[STDERR]),
    }
    sinks = {channel: Keep(progress, channel) for channel in progress}
    stream = connection.request("process.start", start, sinks=sinks)
    offset = int(stream.wait_note("process.started")["stdin_offset"])
    whole = b"".join(INPUT)
    for piece in (whole[offset:][:12], whole[offset:][12:27], whole[offset:][27:]):
        if piece:
            stream.write(piece)
            connection.pump(0.0005)
    stream.close_input()
    return stream.wait()


class Keep:
    def __init__(self, progress, channel):
        self.progress, self.channel = progress, channel

    def update(self, data):
        self.progress[self.channel] += data


def cut_and_go_on(agent, log, **cut):
    """A session cut at that byte, and its continuation. Returns False when the cut was not reached."""
    open(log, "w", encoding="ascii").close()
    progress = {STDOUT: b"", STDERR: b""}
    reached = True
    try:
        with Connection(agent.address, **cut) as connection:
            result = session(connection, log, progress)
            reached = False
    except Cut:
        with Connection(agent.address) as connection:
            result = session(connection, log, progress)
    about = f"cut at {cut}"
    equal(progress, {STDOUT: b"".join(INPUT), STDERR: b"err"}, about)
    equal(result["exit"]["code"], 9, about)
    with open(log, encoding="ascii") as file:
        equal(file.read(), "run\n", about)
    with Connection(agent.address) as connection:
        connection.call("process.forget", id="the-id")
    return reached


@test(timeout=300 if LONG else 60)
def a_session_cut_at_any_byte_sent_goes_on(case):
    agent, at = Agent(case), 0
    before = agent.descriptors()
    while cut_and_go_on(agent, case.path("log"), cut_out=at):
        at += 1 if LONG or at < 30 else 5
    check(at > 300, f"the session sends {at} bytes")
    agent.expect_descriptors(before)


@test(timeout=300 if LONG else 60)
def a_session_cut_at_any_byte_received_goes_on(case):
    agent, at = Agent(case), 0
    before = agent.descriptors()
    while cut_and_go_on(agent, case.path("log"), cut_in=at):
        at += 1 if LONG or at < 30 else 13
    check(at > 500, f"the session receives {at} bytes")
    agent.expect_descriptors(before)


if __name__ == "__main__":
    main()
