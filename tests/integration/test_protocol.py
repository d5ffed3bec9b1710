#!/usr/bin/env python3
"""Modes, frames, credit and what goes first: PROTOCOL.md sections 1 to 7."""

import socket
import time

from support import wire
from support.agent import Agent, needs
from support.expect import Discard, fails, table
from support.tap import at_most, check, equal, main, number_from_environment, scaled, test
from support.wire import (
    CANCEL,
    CREDIT,
    DATA,
    END,
    GOAWAY,
    HEADER,
    INITIAL_CREDIT,
    MORE,
    NOTIFY,
    NUMBER,
    PING,
    PREFACE,
    REQUEST,
    RESPONSE,
    STDIN,
    STDOUT,
    TRUNCATED,
    Connection,
    Run,
    dial,
    frame,
    to_json,
)

PING_FRAME = frame(PING, 0, b"12345678")
FLOOD = ["/bin/sh", "-c", "exec cat /dev/zero"]


# Modes and hello


@test()
def hello_tells_version_limits_and_features(case):
    hello = Agent(case).connect().hello
    equal(hello["protocol"], "1.0")
    for name in ("agent", "version", "boot_id"):
        check(isinstance(hello[name], str) and hello[name], f"{name}: {hello}")
    check(isinstance(hello["generation"], int) and hello["generation"] >= 1, f"generation: {hello}")
    check(all(isinstance(f, str) for f in hello["features"]), f"features: {hello}")
    equal(hello["limits"], {name.lower(): int(value) for name, value in table("protocol/limits.def").items()})
    limits = hello["limits"]
    equal(hello["keepalive"], {"idle_ms": limits["keepalive_idle"], "dead_ms": limits["keepalive_dead"]})


@test()
def everything_before_hello_is_refused(case):
    agent = Agent(case)
    connection = agent.connect(hello=False)
    for method in ("ping", "info", "process.list", "no.such.method"):
        fails(lambda: connection.call(method), "HELLO_REQUIRED")
    equal(connection.ping() >= 0, True, "frames of the connection itself work")
    connection.hello = connection.call("hello")
    equal(connection.call("ping"), {})


@test()
def the_generation_grows_with_each_agent(case):
    agent = Agent(case)
    first = agent.connect().hello
    agent.restart_agent()
    second = agent.connect().hello
    equal(second["boot_id"], first["boot_id"])
    equal(second["generation"], first["generation"] + 1)


@test()
def another_major_version_is_refused_by_name(case):
    agent = Agent(case)
    connection = agent.connect(hello=False, preface=b"\xc0NSP\x02\x00\x00\x00")
    error = connection.wait_lost()
    equal(error and error["data"]["name"], "VERSION")


@test()
def a_later_minor_version_is_accepted(case):
    agent = Agent(case)
    connection = agent.connect(hello=False, preface=b"\xc0NSP\x01\x07\x00\x00")
    equal(connection.call("hello")["protocol"], "1.0")


@test()
def a_wrong_magic_ends_the_connection(case):
    agent = Agent(case)
    good = agent.connect()
    connection = agent.connect(hello=False, preface=b"\xc0XXX\x01\x00\x00\x00" + PING_FRAME)
    error = connection.wait_lost()
    check(error is None or error["data"]["name"] == "PROTOCOL", f"{error}")
    good.ping()


@test()
def any_other_first_byte_is_a_parse_error_in_text(case):
    agent = Agent(case)
    for first in (b"G", b"\0", b"\n", b" ", b"\xff", b'"'):
        with agent.connect_text() as connection:
            connection.socket.sendall(first + b"ET / HTTP/1.0\r\n\r\n")
            message = connection.receive()
            equal(message["error"]["data"]["name"], "PARSE", repr(first))
            equal(message["id"], None)
            equal(connection.receive(), None, "the connection ends")


@test()
def reserved_preface_bytes_must_be_zero(case):
    agent = Agent(case)
    for reserved in (b"\1\0", b"\0\1", b"\xff\xff"):
        connection = agent.connect(hello=False, preface=PREFACE[:6] + reserved)
        error = connection.wait_lost()
        equal(error and error["data"]["name"], "PROTOCOL", repr(reserved))


@test()
def a_second_hello_is_answered_like_the_first(case):
    connection = Agent(case).connect()
    running = stdin_stream(connection)
    equal(connection.call("hello", client="again"), connection.hello)
    running.write(b"goes on")
    running.close_input()
    running.wait()
    equal(Run(running).stdout, b"goes on")


@test()
def a_connection_too_many_is_told_so_in_its_own_mode(case):
    agent = Agent(case)
    first = agent.connect()
    others = [agent.connect() for _ in range(first.hello["limits"]["connections"] - 1)]
    error = agent.connect(hello=False).wait_lost()
    check(error is not None, "a GOAWAY comes before the end")
    equal((error["data"]["name"], error["data"]["object"]), ("EXHAUSTED", "connections"))
    with agent.connect_text() as connection:
        connection.send("ping")
        message = connection.receive()
        equal((message["id"], message["error"]["data"]["name"]), (None, "EXHAUSTED"))
        equal(message["error"]["data"]["object"], "connections")
        equal(connection.receive(), None, "the connection ends")
    for connection in [first, *others]:
        connection.ping()


@test()
def the_end_of_one_direction_ends_the_connection(case):
    agent = Agent(case)
    connection = agent.connect()
    connection.request("process.start", {"argv": ["/bin/sleep", "100"], "attach": True, "id": "kept"}).wait_note(
        "process.started"
    )
    connection.socket.shutdown(socket.SHUT_WR)
    equal(connection.wait_lost(), None, "no GOAWAY")
    other = agent.connect()
    equal(other.call("process.get", id="kept")["state"], "running")
    other.call("process.kill", id="kept", signal="KILL")


@test()
def frames_may_come_in_any_pieces(case):
    agent = Agent(case)
    link = dial(agent.address)
    stream = PREFACE + frame(REQUEST, 1, to_json({"method": "hello", "params": {}}))
    stream += frame(REQUEST, 3, to_json({"method": "ping", "params": {}})) + PING_FRAME
    for byte in stream:
        link.sendall(bytes([byte]))
    link.settimeout(scaled(10))
    seen = b""
    while seen.count(b"12345678") < 1 or b'"protocol"' not in seen:
        data = link.recv(65536)
        check(data, f"the connection ended after {seen!r}")
        seen += data
    link.close()


@test()
def many_frames_in_one_piece_are_all_answered(case):
    connection = Agent(case).connect()
    streams = [wire.Stream(connection, connection.next_stream(), None, "auto") for _ in range(200)]
    connection.streams.update({s.number: s for s in streams})
    request = to_json({"method": "ping", "params": {}})
    connection.send(b"".join(frame(REQUEST, s.number, request) + PING_FRAME for s in streams))
    for stream in streams:
        equal(stream.wait(), {})
    connection.until(lambda: len(connection.pongs) == 200, 5, "all pongs")


@test(timeout=20)
def a_connection_that_never_says_hello_is_closed(case):
    agent = Agent(case)
    good = agent.connect()
    silent, half = dial(agent.address), dial(agent.address)
    half.sendall(PREFACE + b"\0\0")
    began = time.monotonic()
    for link in (silent, half):
        link.settimeout(scaled(10))
        while link.recv(4096):
            pass
        link.close()
    took = time.monotonic() - began
    limit = good.hello["limits"]["hello_time"] / 1000
    check(limit * 0.9 <= took <= scaled(limit + 2), f"closed after {took:.1f} s, the limit is {limit} s")
    good.ping()


# Malformed frames


def stdin_stream(connection):
    """A cat whose channel 1 is open; returns its stream."""
    stream = connection.start(["/bin/cat"], stdin="pipe")
    stream.wait_note("process.started")
    return stream


MALFORMED = {
    "type 0": frame(0, 0),
    "type 13": frame(13, 0),
    "blocked from a client": frame(12, 1, channel=STDOUT),
    "type 255": frame(255, 0),
    "an unknown flag": frame(PING, 0, b"12345678", flags=4),
    "MORE on a ping": frame(PING, 0, b"12345678", flags=MORE),
    "TRUNCATED on a request": frame(REQUEST, 101, b"{}", flags=TRUNCATED),
    "an unknown channel": frame(DATA, 99, b"x", channel=4),
    "data without a channel": frame(DATA, 99, b"x", channel=0),
    "a request on a channel": frame(REQUEST, 101, b"{}", channel=1),
    "a reserved byte": frame(PING, 0, b"12345678", reserved=1),
    "an offset on a ping": frame(PING, 0, b"12345678", offset=1),
    "an offset on a request": frame(REQUEST, 101, b"{}", offset=1),
    "a short ping": frame(PING, 0, b"1234567"),
    "a long ping": frame(PING, 0, b"123456789"),
    "a ping on a stream": frame(PING, 1, b"12345678"),
    "a short credit": frame(CREDIT, 1, b"1234", channel=STDOUT),
    "an end with a payload": frame(END, 1, b"x", channel=STDIN),
    "a cancel with a payload": frame(CANCEL, 1, b"x"),
    "an empty request": frame(REQUEST, 101),
    "a payload beyond the limit": frame(REQUEST, 101, length=262145),
    "the longest length": frame(REQUEST, 101, length=0xFFFFFFFF),
    "a request on stream 0": frame(REQUEST, 0, b"{}"),
    "a request on an even stream": frame(REQUEST, 102, b"{}"),
    "data on stream 0": frame(DATA, 0, b"x", channel=STDIN),
    "a cancel on stream 0": frame(CANCEL, 0),
    "a stream used again": frame(REQUEST, 1, b'{"method":"ping","params":{}}'),
    "a cancel of a stream never opened": frame(CANCEL, 9999),
    "data of a stream never opened": frame(DATA, 9999, b"x", channel=STDIN),
    "credit of a stream never opened": frame(CREDIT, 9999, b"12345678", channel=STDOUT),
    "a cancel of an even stream": frame(CANCEL, 2),
    "a response from a client": frame(RESPONSE, 1, b"{}"),
    "a notification on no stream": frame(NOTIFY, 9999, b"{}"),
}


@test(timeout=30)
def a_malformed_frame_ends_only_its_own_connection(case):
    agent = Agent(case)
    good = agent.connect()
    running = stdin_stream(good)
    for about, bad in MALFORMED.items():
        with Connection(agent.address) as connection:
            connection.send(bad)
            error = connection.wait_lost()
            check(error is not None, f"{about}: a GOAWAY comes before the end")
            equal(error["data"]["name"], "PROTOCOL", about)
            check(error["message"], f"{about}: says why")
        good.ping()
    running.write(b"still here")
    running.close_input()
    running.wait()
    equal(Run(running).stdout, b"still here")


@test()
def ids_must_grow(case):
    agent = Agent(case)
    connection = agent.connect()
    connection.last_stream = 99
    connection.call("ping")
    connection.send(frame(REQUEST, 51, b'{"method":"ping","params":{}}'))
    equal(connection.wait_lost()["data"]["name"], "PROTOCOL")
    connection = agent.connect()
    connection.last_stream = 0xFFFFFFFF - 2
    equal(connection.call("ping"), {}, "the last id")


@test()
def input_that_breaks_the_rules_of_a_channel_is_malformed(case):
    agent = Agent(case)
    wrong = {
        "a hole": lambda s: frame(DATA, s, b"x", channel=STDIN, offset=5),
        "beyond the credit": lambda s: b"".join(
            frame(DATA, s, bytes(262144), channel=STDIN, offset=n * 262144) for n in range(40)
        ),
        "an end that leaves a hole": lambda s: frame(END, s, channel=STDIN, offset=7),
        "data after the end": lambda s: frame(END, s, channel=STDIN) + frame(DATA, s, b"x", channel=STDIN),
        "data on an output channel": lambda s: frame(DATA, s, b"x", channel=STDOUT),
        "credit consumed beyond what was sent": lambda s: frame(
            CREDIT, s, NUMBER.pack(1 << 40), channel=STDOUT, offset=1 << 39
        ),
    }
    for about, make in wrong.items():
        with Connection(agent.address) as connection:
            stream = connection.start(["/bin/sleep", "100"], stdin="pipe")
            process = stream.wait_note("process.started")["process"]
            stream.input.next = 1 << 30  # so that any credit that comes for it is right
            connection._out += make(stream.number)
            error = connection.wait_lost()
            equal(error and error["data"]["name"], "PROTOCOL", about)
        with Connection(agent.address) as connection:
            equal(connection.call("process.get", id=process)["state"], "running", "the process lives on")
            connection.call("process.kill", id=process, signal="KILL")


@test()
def frames_for_a_channel_that_the_stream_does_not_have_are_malformed(case):
    agent = Agent(case)
    other = agent.connect()
    process = other.call("process.start", argv=["/bin/sleep", "100"], stdin="pipe")["id"]
    start = {"argv": ["/bin/true"], "stdin": "pipe", "attach": True}
    wrong = {
        "data before process.started": ("process.start", start, DATA),
        "an end before process.started": ("process.start", start, END),
        "data without stdin": ("process.attach", {"id": process}, DATA),
        "credit for a call without output": ("process.wait", {"id": process}, CREDIT),
    }
    frames = {
        DATA: lambda number: frame(DATA, number, b"x", channel=STDIN),
        END: lambda number: frame(END, number, channel=STDIN),
        CREDIT: lambda number: frame(CREDIT, number, NUMBER.pack(1 << 20), channel=STDOUT),
    }
    for about, (method, params, kind) in wrong.items():
        with Connection(agent.address) as connection:
            number = connection.next_stream()
            stream = wire.Stream(connection, number, None, "auto")
            connection.streams[number] = stream
            # In one piece: the agent takes both before it can hear of an execve.
            request = frame(REQUEST, number, to_json({"method": method, "params": params}))
            if method == "process.attach":
                connection.send(request)
                stream.wait_note("process.started")
                request = b""
            connection.send(request + frames[kind](number))
            error = connection.wait_lost()
            equal(error and error["data"]["name"], "PROTOCOL", about)
    other.call("process.kill", id=process, signal="KILL")


@test()
def input_that_came_already_is_ignored(case):
    connection = Agent(case).connect()
    stream = stdin_stream(connection)
    stream.write(b"abcdef")
    connection.send(frame(DATA, stream.number, b"abc", channel=STDIN))
    connection.send(frame(DATA, stream.number, b"efGH", channel=STDIN, offset=4))
    stream.input.next = 8
    stream.close_input()
    stream.wait()
    equal(Run(stream).stdout, b"abcdefGH")


@test()
def frames_of_a_stream_that_has_ended_are_ignored(case):
    connection = Agent(case).connect()
    stream = connection.start(["/bin/true"])
    stream.wait()
    number = stream.number
    connection.send(frame(DATA, number, b"x", channel=STDIN))
    connection.send(frame(END, number, channel=STDIN, offset=1))
    connection.send(frame(CREDIT, number, NUMBER.pack(1 << 30), channel=STDOUT))
    connection.send(frame(CANCEL, number))
    connection.ping()
    equal(connection.call("ping"), {})


@test()
def a_goaway_of_the_client_ends_the_connection(case):
    agent = Agent(case)
    connection = agent.connect()
    error = {"error": {"code": -32000, "message": "enough", "data": {"name": "PROTOCOL"}}}
    connection.send(frame(GOAWAY, 0, to_json(error)))
    connection.wait_lost()
    agent.connect().ping()


# Ping, credit, priority


@test()
def a_ping_is_answered_with_the_same_bytes(case):
    connection = Agent(case).connect()
    for token in (b"\0" * 8, b"\xff" * 8, b"abcdefgh"):
        connection.send(frame(PING, 0, token))
        connection.until(lambda: token in connection.pongs, 5, "PONG")


@test(timeout=80)
def a_silent_peer_is_pinged_and_then_dropped(case):
    needs(number_from_environment("NSP_LONG", 0), "takes a minute; set NSP_LONG=1")
    agent = Agent(case)
    silent, polite = agent.connect(), agent.connect()
    limits = polite.hello["limits"]
    silent.answer_pings = False
    began = time.monotonic()
    silent.until(lambda: silent.pings, limits["keepalive_idle"] / 1000 + 5, "a ping")
    asked = time.monotonic() - began
    check(asked >= limits["keepalive_idle"] / 1000 * 0.9, f"asked after {asked:.1f} s")
    gone = case.thread(silent.wait_lost, limits["keepalive_dead"] / 1000 + 5)
    while gone.running:
        polite.pump(0.2)
    equal(gone.join()["data"]["name"], "KEEPALIVE")
    check(polite.pings >= 1, "the other was pinged too")
    polite.ping()


@test()
def nothing_is_sent_beyond_the_credit(case):
    connection = Agent(case).connect()
    stream = connection.start(FLOOD, credit="manual", sinks={STDOUT: Discard()})
    output = stream.channels[STDOUT]
    connection.until(lambda: output.next == INITIAL_CREDIT, 10, lambda: "")
    connection.drain(0.2)
    equal(output.next, INITIAL_CREDIT, "bytes with the initial credit")
    for step in (1, 100, 300000, 7):
        stream.grant(STDOUT, output.limit + step)
        expected = output.limit
        connection.until(lambda: output.next == expected, 5, f"{step} more bytes")
        connection.drain(0.03)
        equal(output.next, expected, f"after {step} more bytes of credit")
    connection.send(frame(CREDIT, stream.number, NUMBER.pack(5), channel=STDOUT, offset=5))
    connection.drain(0.05)
    equal(output.next, expected, "credit that shrinks is ignored")
    connection.call("process.kill", id=stream.note("process.started")["process"], signal="KILL")
    stream.grant(STDOUT, 1 << 40)
    equal(stream.wait()["exit"]["signal"], 9)


@test()
def a_stream_without_credit_does_not_hold_up_others(case):
    connection = Agent(case).connect()
    stuck = connection.start(FLOOD, credit="manual", sinks={STDOUT: Discard()})
    connection.until(lambda: stuck.channels[STDOUT].next == INITIAL_CREDIT, 10, "a stream without credit")
    for number in range(50):
        equal(connection.run(["/bin/echo", str(number)]).stdout, b"%d\n" % number)
    connection.call("process.kill", id=stuck.note("process.started")["process"], signal="KILL")
    stuck.grant(STDOUT, 1 << 40)
    stuck.wait()


@test(timeout=40)
def control_overtakes_a_flood(case):
    """While one stream is stopped and another floods, what lies between a ping and its answer is what
    waits in the socket and the rest of one frame, not the backlog."""
    connection = Agent(case).connect()
    stopped = connection.start(FLOOD, credit="manual", sinks={STDOUT: Discard()})
    count = Discard()
    total = number_from_environment("NSP_FLOOD_MIB", 1024) << 20
    flood = connection.start(["/usr/bin/head", "-c", str(total), "/dev/zero"], sinks={STDOUT: count})
    connection.until(lambda: count.count > INITIAL_CREDIT, 10, "the flood")
    limits = connection.hello["limits"]
    bound = limits["socket_unsent"] + limits["frame_payload"] + 4 * HEADER.size
    pings = 0
    while not flood.done:
        time.sleep(0.02)  # the socket fills while we do not read
        received, pongs = connection.received, len(connection.pongs)
        connection.send(PING_FRAME)
        time.sleep(0.02)
        connection.throttle = 4096
        connection.until(lambda: len(connection.pongs) > pongs, 5, "PONG")
        at_most(connection.received - received, bound + 4096, "bytes before the PONG")
        connection.throttle = 1 << 18
        pings += 1
        goal = count.count + total // 40
        connection.until(lambda: count.count >= goal or flood.done, 10, "more of the flood")
    equal(count.count, total)
    check(pings >= 10, f"{pings} pings")
    at_most(stopped.channels[STDOUT].next, INITIAL_CREDIT, "bytes of the stopped stream")
    connection.call("process.kill", id=stopped.note("process.started")["process"], signal="KILL")
    stopped.grant(STDOUT, 1 << 40)
    stopped.wait()


@test()
def a_call_overtakes_a_flood_that_nobody_reads(case):
    agent = Agent(case)
    connection = agent.connect()
    flood = connection.start(FLOOD, sinks={STDOUT: Discard()})
    connection.until(lambda: flood.channels[STDOUT].next, 10, "the flood")
    process = flood.note("process.started")["process"]
    time.sleep(0.1)
    began = time.monotonic()
    connection.call("process.signal", id=process, signal="KILL")
    flood.wait_note("process.exited")
    at_most(time.monotonic() - began, scaled(1), "seconds of a signal")
    flood.wait()


@test()
def pings_without_end_from_a_peer_that_does_not_read_hurt_only_it(case):
    agent = Agent(case)
    good = agent.connect()
    before = agent.memory_kib()
    link = dial(agent.address)
    link.sendall(PREFACE + frame(REQUEST, 1, to_json({"method": "hello", "params": {}})))
    link.settimeout(0.5)
    try:
        for _ in range(200):
            link.sendall(PING_FRAME * 10000)
    except (TimeoutError, OSError):
        pass
    at_most(good.ping(), scaled(1), "seconds of a ping")
    limits = good.hello["limits"]
    at_most(agent.memory_kib() - before, 2 * limits["control_queue"] // 1024 + 1024, "KiB more memory")
    link.close()


if __name__ == "__main__":
    main()
