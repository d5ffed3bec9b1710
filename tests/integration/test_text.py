#!/usr/bin/env python3
"""Text mode, by a raw socket: PROTOCOL.md sections 1 and 10."""

import base64

from support import wire
from support.agent import Agent
from support.tap import check, equal, eventually, main, test
from support.wire import STDOUT


def text(case):
    return Agent(case).connect_text()


@test()
def text_mode_echoes_ids_of_any_kind(case):
    connection = text(case)
    for id in (1, 0, -5, "abc", "", "gr\u00fc\u00df", 9007199254740991, 1.5):
        connection.send("ping", id=id)
        equal(connection.receive(), {"jsonrpc": "2.0", "id": id, "result": {}})


@test()
def text_mode_needs_no_hello_but_answers_it(case):
    connection = text(case)
    equal(connection.call("ping"), {})
    equal(connection.call("hello", client="text")["protocol"], "1.0")


@test()
def text_mode_refuses_batches_by_name(case):
    agent = Agent(case)
    for line in (b"[]", b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]'):
        with agent.connect_text() as connection:
            connection.send_line(line)
            message = connection.receive()
            equal(message["error"]["data"]["name"], "INVALID_REQUEST")
            check("batch" in message["error"]["message"], f"{message}")
    with agent.connect_text() as connection:
        connection.call("ping")
        connection.send_line(b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]')
        equal(connection.receive()["error"]["data"]["name"], "INVALID_REQUEST")


@test()
def text_mode_answers_bad_lines_and_goes_on(case):
    connection = text(case)
    connection.call("ping")
    for line, name in (
        (b'{"jsonrpc":"2.0","id":1,"method":"ping"', "PARSE"),
        (b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}', "PARSE"),
        (b'{"jsonrpc":"2.0","id":1,"method":"\xff"}', "PARSE"),
        (b'{"jsonrpc":"2.0","id":1,"method":"a\\u0000"}', "PARSE"),
    ):
        connection.send_line(line)
        message = connection.receive()
        equal(message["error"]["data"]["name"], name, repr(line))
        equal(message["id"], None)
    for id, method, name in ((5, "nope", "METHOD_NOT_FOUND"), ("x", "process.get", "INVALID_PARAMS")):
        message = connection.answer(connection.send(method, id=id))
        equal((message["id"], message["error"]["data"]["name"]), (id, name))
    equal(connection.call("ping"), {})


@test()
def text_mode_ignores_blanks_and_carriage_returns_around_a_line(case):
    connection = text(case)
    for line in (b'{"id":1,"method":"ping"}\r', b"", b"\r", b" \t", b'  \t{"id":1,"method":"ping"} \r'):
        connection.send_line(line)
        if line.strip():
            equal(connection.receive(), {"jsonrpc": "2.0", "id": 1, "result": {}}, repr(line))


@test()
def text_mode_goes_on_after_requests_without_an_id(case):
    connection = text(case)
    for line in (b"[]", b'{"method":"ping"}', b'{"id":null,"method":"ping"}', b'{"id":[1],"method":"ping"}'):
        connection.send_line(line)
        message = connection.receive()
        equal((message["id"], message["error"]["data"]["name"]), (None, "INVALID_REQUEST"), repr(line))
    equal(connection.call("ping"), {})


@test()
def text_mode_answers_a_second_hello_like_the_first(case):
    connection = text(case)
    equal(connection.call("hello"), connection.call("hello", client="again"))


@test()
def text_mode_refuses_a_line_that_is_too_long(case):
    connection = text(case)
    connection.call("ping")
    connection.send_line(b'{"jsonrpc":"2.0","id":1,"method":"' + b"x" * (1 << 20) + b'"}')
    message = connection.receive()
    equal((message["id"], message["error"]["data"]["name"]), (None, "EXHAUSTED"))
    equal(message["error"]["data"]["object"], "json_message")
    equal(connection.call("ping"), {}, "the line was skipped")


CHANNELS = {STDOUT: STDOUT, wire.STDERR: wire.STDERR, "stdout": STDOUT, "stderr": wire.STDERR}


def collect(messages, request):
    """The notifications of a request as (bytes of each channel, ends, other notifications)."""
    output, ends, others = {STDOUT: b"", wire.STDERR: b""}, {}, []
    for message in messages:
        params = message["params"]
        equal(params["id"], request, "the request's id")
        if message["method"] == "process.output":
            channel = CHANNELS[params["channel"]]
            equal(int(params["offset"]), len(output[channel]), "offset")
            output[channel] += base64.b64decode(params["data"], validate=True)
        elif message["method"] == "process.end":
            ends[CHANNELS[params["channel"]]] = (int(params["offset"]), params["truncated"])
        else:
            others.append((message["method"], params))
    return output, ends, others


@test()
def text_mode_streams_output_in_base64(case):
    connection = text(case)
    command = "printf 'a\\0b\\377'; printf err >&2; exit 3"
    request = connection.send("process.start", {"command": command, "attach": True, "until": "closed", "id": "proc"})
    message = connection.answer(request)
    equal(message["result"]["exit"]["code"], 3)
    equal((message["result"]["id"], message["result"]["stdout"]), ("proc", 4))
    output, ends, others = collect(connection.others, request)
    equal(output, {STDOUT: b"a\0b\xff", wire.STDERR: b"err"})
    equal(ends, {STDOUT: (4, False), wire.STDERR: (3, False)})
    equal([name for name, _ in others], ["process.started", "process.exited", "process.drained"])
    equal({params["process"] for _, params in others}, {"proc"})


@test()
def text_mode_takes_input_by_calls(case):
    connection = text(case)
    request = connection.send("process.start", {"argv": ["/bin/cat"], "attach": True, "stdin": "pipe", "id": "cat"})
    data = {"b64": base64.b64encode(b"\xff\0").decode()}
    equal(connection.call("process.stdin", id="cat", data=data)["offset"], 2)
    equal(connection.call("process.close_stdin", id="cat")["offset"], 2)
    equal(connection.answer(request)["result"]["exit"]["code"], 0)
    equal(collect(connection.others, request)[0][STDOUT], b"\xff\0")


@test()
def text_mode_cancels_by_request_id(case):
    connection = text(case)
    process = connection.call("process.start", argv=["/bin/sleep", "100"])["id"]
    for id in ("the wait", 77):
        connection.send("process.wait", {"id": process}, id=id)
        answers = [connection.send("cancel", {"id": id}), id]
        found = {m["id"]: m for m in (connection.receive(), connection.receive())}
        check("result" in found[answers[0]], f"{found}")
        equal(found[id]["error"]["data"]["name"], "CANCELLED")
    message = connection.answer(connection.send("cancel", {"id": "nothing"}))
    equal(message["error"]["data"]["name"], "NOT_FOUND")
    connection.call("process.kill", id=process, signal="KILL")


@test(timeout=40)
def text_mode_floods_without_losing_a_byte(case):
    connection = text(case)
    size = 8 << 20
    request = connection.send(
        "process.start", {"argv": ["/usr/bin/head", "-c", str(size), "/dev/zero"], "attach": True}
    )
    offset = 0
    while True:
        message = connection.receive()
        if message.get("id") == request and "method" not in message:
            break
        if message["method"] == "process.output":
            equal(int(message["params"]["offset"]), offset)
            data = base64.b64decode(message["params"]["data"])
            check(not any(data), "only zeros")
            offset += len(data)
    equal((offset, message["result"]["stdout"]), (size, size))


@test()
def text_mode_reports_gaps(case):
    connection = text(case)
    size = 1 << 20
    process = connection.call(
        "process.start", argv=["/usr/bin/head", "-c", str(size), "/dev/zero"], policy="drop", ring_bytes=65536
    )["id"]
    connection.call("process.wait", id=process)
    eventually(lambda: connection.call("process.get", id=process)["stdout"]["closed"], 5, "closed")
    connection.others.clear()
    request = connection.send("process.attach", {"id": process, "stderr_from": 0})
    connection.answer(request)
    gaps = [m["params"] for m in connection.others if m["method"] == "process.gap"]
    equal(len(gaps), 1)
    equal((CHANNELS[gaps[0]["channel"]], int(gaps[0]["offset"])), (STDOUT, 0))
    first = next(m["params"] for m in connection.others if m["method"] == "process.output")
    equal(int(gaps[0]["to"]), int(first["offset"]))


if __name__ == "__main__":
    main()
