#!/usr/bin/env python3
"""Calls, their errors and how many there may be at once: PROTOCOL.md sections 4 and 8."""

import socket
import time

from support import wire
from support.agent import Agent
from support.expect import Discard, fails, table
from support.tap import Failure, at_most, check, equal, eventually, main, scaled, test
from support.wire import (
    INITIAL_CREDIT,
    MORE,
    PING,
    PREFACE,
    REQUEST,
    STDOUT,
    Connection,
    Lost,
    RpcError,
    Run,
    dial,
    frame,
    to_json,
)

PING_FRAME = frame(PING, 0, b"12345678")
FLOOD = ["/bin/sh", "-c", "exec cat /dev/zero"]


# Calls


@test()
def unknown_things_are_typed_errors_that_name_them(case):
    connection = Agent(case).connect()
    error = fails(lambda: connection.call("process.explode"), "METHOD_NOT_FOUND")
    check("process.explode" in f"{error.object} {error.message}", f"{error}")
    fails(lambda: connection.call("Ping"), "METHOD_NOT_FOUND")
    error = fails(lambda: connection.call("process.start", argv=["true"], colour="red"), "INVALID_PARAMS")
    check("colour" in f"{error.object} {error.message}", f"{error}")
    fails(lambda: connection.call("process.start", Argv=["true"]), "INVALID_PARAMS")
    error = fails(lambda: connection.call("ping", x=1), "INVALID_PARAMS")
    error = fails(lambda: connection.call("process.start", argv=["true"], policy="never"), "INVALID_PARAMS")
    check("policy" in f"{error.object} {error.message}", f"{error}")
    error = fails(lambda: connection.call("process.get"), "INVALID_PARAMS")
    check("id" in f"{error.object} {error.message}", f"{error}")
    for argv in ("true", [1], [None], {"a": 1}, [["true"]], [{"b64": "!"}], [{"b65": ""}], [{"b64": "", "x": 1}]):
        fails(lambda: connection.call("process.start", argv=argv), "INVALID_PARAMS")
    equal(connection.call("ping"), {}, "the connection goes on")


@test()
def codes_and_retryable_are_those_of_the_table(case):
    connection = Agent(case).connect()
    codes = {name: int(code) for name, code in table("protocol/errors.def").items()}
    for name, call in {
        "METHOD_NOT_FOUND": lambda: connection.call("nope"),
        "INVALID_PARAMS": lambda: connection.call("ping", x=1),
        "NOT_FOUND": lambda: connection.call("process.get", id="nobody"),
        "SPAWN": lambda: connection.run(["/nope"]),
    }.items():
        error = fails(call, name)
        equal((error.code, error.retryable), (codes[name], False))


@test()
def integers_may_be_decimal_strings(case):
    connection = Agent(case).connect()
    equal(connection.run(command="umask", umask="23").stdout.strip(), b"0027")
    for wrong in ("0x17", " 23", "23 ", "", "1.0", 1.5, "9223372036854775808"):
        fails(lambda: connection.run(command="umask", umask=wrong), "INVALID_PARAMS")


@test()
def a_call_can_be_cancelled_and_the_process_lives_on(case):
    connection = Agent(case).connect()
    process = connection.call("process.start", argv=["/bin/sleep", "100"])["id"]
    for method in ("process.wait", "process.attach"):
        stream = connection.request(method, {"id": process})
        connection.ping()
        stream.cancel()
        fails(stream.wait, "CANCELLED")
    equal(connection.call("process.get", id=process)["state"], "running")
    connection.call("process.kill", id=process, signal="KILL")


@test()
def cancelling_what_floods_ends_the_flood(case):
    connection = Agent(case).connect()
    stream = connection.start(FLOOD, sinks={STDOUT: Discard()})
    connection.until(lambda: stream.channels[STDOUT].next > INITIAL_CREDIT, 10, "the flood")
    stream.cancel()
    fails(stream.wait, "CANCELLED")
    process = stream.note("process.started")["process"]
    equal(connection.call("process.get", id=process)["state"], "running")
    connection.call("process.kill", id=process, signal="KILL")


@test()
def a_cancel_that_crosses_the_answer_is_harmless(case):
    connection = Agent(case).connect()
    for _ in range(100):
        stream = connection.request("ping")
        stream.cancel()
        try:
            stream.wait()
        except RpcError as error:
            equal(error.name, "CANCELLED")


@test()
def a_deadline_ends_the_call_and_not_the_process(case):
    connection = Agent(case).connect()
    process = connection.call("process.start", argv=["/bin/sleep", "100"])["id"]
    for method in ("process.wait", "process.attach"):
        began = time.monotonic()
        fails(lambda: connection.call(method, deadline_ms=150, id=process), "DEADLINE")
        took = time.monotonic() - began
        check(0.14 <= took <= scaled(1), f"ended after {took:.3f} s")
    equal(connection.call("process.get", id=process)["state"], "running")
    equal(connection.call("ping", deadline_ms=1000), {}, "a deadline that is not reached")
    connection.call("process.kill", id=process, signal="KILL")
    for wrong in (-1, "soon", 1.5, {}):
        error = fails(lambda: connection.call("ping", deadline_ms=wrong), "INVALID_REQUEST")
        check("deadline_ms" in f"{error.object} {error.message}", f"{error}")


@test()
def a_request_may_come_in_many_frames(case):
    connection = Agent(case).connect()
    stream = connection.request("process.start", {"attach": True, "argv": ["/bin/echo", "pieces"]}, pieces=3)
    stream.wait()
    equal(Run(stream).stdout, b"pieces\n")
    long = ["/bin/sh", "-c", 'printf %s "$@" | wc -c', "sh"] + ["x" * 100000] * 6
    equal(int(connection.run(long).stdout), 600000)


@test()
def frames_of_other_streams_come_between_pieces(case):
    connection = Agent(case).connect()
    text = to_json({"method": "process.list", "params": {}})
    stream = wire.Stream(connection, connection.next_stream(), None, "auto")
    connection.streams[stream.number] = stream
    connection.send(frame(REQUEST, stream.number, text[:5], flags=MORE))
    equal(connection.call("ping"), {})
    connection.send(frame(REQUEST, stream.number, text[5:12], flags=MORE) + PING_FRAME)
    equal(connection.run(["/bin/echo", "between"]).stdout, b"between\n")
    connection.send(frame(REQUEST, stream.number, text[12:]))
    check("processes" in stream.wait(), "the answer")


def kept_processes(connection, count, argument):
    """So many exited processes; their ids."""
    starts = [connection.request("process.start", {"argv": ["/bin/true", argument]}) for _ in range(count)]
    ids = {start.wait(20)["id"] for start in starts}
    for process in ids:
        connection.call("process.wait", id=process)
    return ids


@test(timeout=30)
def an_answer_may_come_in_many_frames(case):
    connection = Agent(case).connect()
    ids = kept_processes(connection, 500, "\u20ac" * 200)
    before = connection.received
    listed = connection.processes()
    check(connection.received - before > 262144, "more than one frame")
    equal({record["id"] for record in listed}, ids)


@test(timeout=30)
def an_answer_that_would_be_too_long_is_a_typed_error(case):
    connection = Agent(case).connect()
    kept_processes(connection, connection.hello["limits"]["exited"], "\u20ac" * 300)
    try:
        connection.call("process.list")
    except RpcError as error:
        equal((error.name, error.object), ("EXHAUSTED", "json_message"))
    equal(connection.call("ping"), {}, "the connection goes on")


@test()
def a_record_tells_that_its_arguments_were_cut(case):
    connection = Agent(case).connect()
    for size, cut in ((100, False), (5000, True)):
        process = connection.call("process.start", argv=["/bin/true", "x" * size])["id"]
        record = connection.call("process.get", id=process)
        equal(bool(record.get("argv_cut")), cut, f"{size} bytes: {record}")
        equal(record["argv"][0], "/bin/true")


BAD_JSON = {
    "not JSON": (b"{", "PARSE"),
    "a key twice": (b'{"method":"ping","method":"ping"}', "PARSE"),
    "a key twice in the parameters": (b'{"method":"process.get","params":{"id":"a","id":"b"}}', "PARSE"),
    "a key twice, once escaped": (b'{"method":"process.get","params":{"id":"a","\\u0069d":"b"}}', "PARSE"),
    "an escaped NUL": (b'{"method":"pi\\u0000ng"}', "PARSE"),
    "a raw NUL": (b'{"method":"pi\x00ng"}', "PARSE"),
    "half a surrogate": (b'{"method":"\\ud800"}', "PARSE"),
    "ill-formed UTF-8": (b'{"method":"\xff"}', "PARSE"),
    "an overlong form": (b'{"method":"\xc0\xaf"}', "PARSE"),
    "a surrogate in UTF-8": (b'{"method":"\xed\xa0\x80"}', "PARSE"),
    "two values": (b'{"method":"ping"}{"method":"ping"}', "PARSE"),
    "a trailing comma": (b'{"method":"ping",}', "PARSE"),
    "a number beyond a double": (b'{"method":"ping","params":{"x":1e999}}', "PARSE"),
    "too deep": (b'{"method":"ping","params":{"x":' + b"[" * 40 + b"]" * 40 + b"}}", "EXHAUSTED"),
    "too many values": (b'{"method":"ping","params":{"x":[' + b"1," * 70000 + b"1]}}", "EXHAUSTED"),
    "no method": (b"{}", "INVALID_REQUEST"),
    "a method that is a number": (b'{"method":5}', "INVALID_REQUEST"),
    "parameters that are a list": (b'{"method":"ping","params":[]}', ("INVALID_REQUEST", "INVALID_PARAMS")),
    "parameters that are null": (b'{"method":"ping","params":null}', ("INVALID_REQUEST", "INVALID_PARAMS")),
    "an unknown member": (b'{"method":"ping","params":{},"mehtod":1}', "INVALID_REQUEST"),
    "another jsonrpc": (b'{"jsonrpc":"1.0","method":"ping","params":{}}', "INVALID_REQUEST"),
}


@test()
def bad_json_is_a_typed_error_and_the_connection_goes_on(case):
    connection = Agent(case).connect()
    for about, (text, names) in BAD_JSON.items():
        try:
            result = connection.request_text(text).wait()
            raise Failure(f"{about}: accepted with {result}")
        except RpcError as error:
            check(error.name in names, f"{about}: {error}")
            check(names != "PARSE" or error.name == "PARSE", f"{about}: {error}")
    equal(connection.call("ping"), {})


@test()
def a_top_level_that_is_no_object_is_a_typed_error(case):
    connection = Agent(case).connect()
    for text in (b"[]", b"null", b'"ping"', b"12", b'[{"method":"ping"}]'):
        try:
            connection.request_text(text).wait()
            raise Failure(f"{text} was accepted")
        except RpcError as error:
            check(error.name in ("PARSE", "INVALID_REQUEST"), f"{text}: {error}")


@test()
def a_message_beyond_the_limit_is_a_typed_error(case):
    connection = Agent(case).connect()
    room = connection.hello["limits"]["json_message"]
    head, tail = b'{"method":"ping","params":{"x":"', b'"}}'
    exact = head + b"x" * (room - len(head) - len(tail)) + tail
    fails(lambda: connection.request_text(exact).wait(), "INVALID_PARAMS")
    longer = head + b"x" * (room - len(head) - len(tail) + 1) + tail
    fails(lambda: connection.request_text(longer).wait(), "EXHAUSTED")
    equal(connection.call("ping"), {})


@test()
def id_and_jsonrpc_may_be_there_in_binary_mode(case):
    connection = Agent(case).connect()
    text = b'{"jsonrpc":"2.0","id":"x","method":"ping"}'
    equal(connection.request_text(text).wait(), {})


# How many at once


@test(timeout=40)
def as_many_streams_as_promised_are_open_at_once(case):
    connection = Agent(case).connect()
    process = connection.call("process.start", argv=["/bin/sleep", "100"])["id"]
    limit = connection.hello["limits"]["streams"]
    waiting = [connection.request("process.wait", {"id": process}) for _ in range(limit)]
    error = fails(lambda: connection.call("ping", timeout=30), "EXHAUSTED")
    check("streams" in f"{error.object} {error.message}".lower(), f"{error}")
    connection.ping()
    waiting[7].cancel()
    fails(waiting[7].wait, "CANCELLED")
    connection.call("process.signal", id=process, signal="KILL")
    for number, stream in enumerate(waiting):
        if number != 7:
            equal(stream.wait(30)["exit"]["signal"], 9)
    equal(connection.call("ping"), {})


@test()
def as_many_connections_as_promised_and_not_one_more(case):
    agent = Agent(case)
    first = agent.connect()
    limit = first.hello["limits"]["connections"]
    all_of_them = [first] + [agent.connect() for _ in range(limit - 1)]
    for connection in all_of_them:
        connection.ping()
    try:
        Connection(agent.address, timeout=3).close()
        raise Failure(f"connection {limit + 1} was accepted")
    except (Lost, ConnectionError) as lost:
        goaway = getattr(lost, "goaway", None)
        check(goaway is None or goaway["data"]["name"] == "EXHAUSTED", f"{lost}")
    for connection in all_of_them:
        connection.ping()
    all_of_them.pop().close()
    eventually(lambda: can_connect(agent), 5, "the place is free again")


def can_connect(agent):
    try:
        Connection(agent.address, timeout=3).close()
        return True
    except ConnectionError:
        return False


@test(timeout=20)
def a_flood_of_connects_without_hello_does_not_disturb(case):
    agent = Agent(case)
    good = agent.connect()
    agent.connect().close()
    before = agent.descriptors()
    links = []
    slowest = 0
    for number in range(300):
        link = socket.socket(socket.AF_UNIX)
        link.settimeout(scaled(5))
        link.connect(agent.socket_path)
        links.append(link)
        if number % 10 == 0:
            slowest = max(slowest, good.ping())
    at_most(slowest, scaled(0.5), "seconds of the slowest ping")
    limits = good.hello["limits"]
    time.sleep(0.1)
    at_most(len(agent.descriptors()["agent"]) - len(before["agent"]), limits["unauthenticated"], "descriptors more")
    equal(good.run(["/bin/echo", "works"]).stdout, b"works\n")
    for link in links:
        link.close()
    eventually(lambda: can_connect(agent), 5, "new connections are welcome again")
    agent.expect_descriptors(before)


@test()
def connections_that_come_and_go_leak_nothing(case):
    agent = Agent(case)
    for _ in range(20):
        agent.connect().close()
    agent.disconnect()
    before = agent.descriptors()
    for number in range(300):
        link = dial(agent.address)
        link.sendall((PREFACE + frame(REQUEST, 1, b'{"method":"hello"}'))[: number % 40])
        link.close()
    agent.expect_descriptors(before)


if __name__ == "__main__":
    main()
