#!/usr/bin/env python3
"""Addresses to listen on, tokens, and what the agent tells about itself: PROTOCOL.md sections 5 and 11."""

import json
import os
import re
import socket
import stat
import time

from support.agent import Agent
from support.expect import fails, refused, script
from support.tap import check, equal, main, test
from support.wire import Connection, Run, TextConnection

# Transports

TOKEN = "a-secret-token-of-some-length"


def free_port():
    with socket.socket() as link:
        link.bind(("127.0.0.1", 0))
        return link.getsockname()[1]


def tcp_agent(case, token=TOKEN):
    port = free_port()
    path = case.path("token")
    if token is not None:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
            file.write(token + "\n")
    agent = Agent(case, listen=[f"tcp:127.0.0.1:{port}"], arguments=["--token-file", path])
    return agent, f"tcp:127.0.0.1:{port}", path


@test()
def tcp_needs_the_token(case):
    agent, address, _ = tcp_agent(case)
    for wrong in (None, "", TOKEN[:-1], TOKEN + "2", TOKEN.upper()):
        began = time.monotonic()
        with Connection(address, hello=False) as connection:
            params = {} if wrong is None else {"token": wrong}
            fails(lambda: connection.call("hello", **params), "UNAUTHENTICATED")
            connection.wait_lost()
        check(time.monotonic() - began >= 0.05, "the end comes after a delay")
    with Connection(address, token=TOKEN) as connection:
        equal(connection.run(["/bin/echo", "over tcp"]).stdout, b"over tcp\n")
    agent.connect().ping()


@test()
def tcp_serves_nothing_before_the_token(case):
    _, address, _ = tcp_agent(case)
    with Connection(address, hello=False) as connection:
        fails(lambda: connection.call("process.start", argv=["true"]), "HELLO_REQUIRED")
    with TextConnection(address) as connection:
        error = connection.answer(connection.send("process.list"))["error"]
        check(error["data"]["name"] in ("HELLO_REQUIRED", "UNAUTHENTICATED"), f"{error}")
    with TextConnection(address) as connection:
        equal(connection.call("hello", token=TOKEN)["protocol"], "1.0")
        equal(connection.call("ping"), {})


@test()
def a_second_hello_must_show_the_token_again(case):
    _, address, _ = tcp_agent(case)
    for first in (Connection(address, token=TOKEN), TextConnection(address)):
        with first as connection:
            equal(connection.call("hello", token=TOKEN)["protocol"], "1.0")
            fails(lambda: connection.call("hello"), "UNAUTHENTICATED")
            if isinstance(connection, Connection):
                equal(connection.wait_lost(), None, "no GOAWAY")
            else:
                equal(connection.receive(), None, "the connection ends")


@test()
def a_token_is_made_when_there_is_none(case):
    _, address, path = tcp_agent(case, token=None)
    equal(stat.S_IMODE(os.stat(path).st_mode), 0o600)
    with open(path, encoding="ascii") as file:
        token = file.read().strip()
    check(len(token) >= 16, f"{len(token)} characters")
    Connection(address, token=token).close()


@test()
def a_token_file_that_others_may_read_or_that_is_no_secret_is_refused(case):
    for name, token, mode in (
        ("open", TOKEN, 0o644),
        ("short", "abc", 0o600),
        ("blank", "two words of some length", 0o600),
    ):
        path = script(case, name, token, mode)
        status, text = refused(case, "--listen", f"tcp:127.0.0.1:{free_port()}", "--token-file", path)
        check(status in (1, 2) and "token" in text, f"{status}: {text}")
        check(token not in text, "the token is not shown")


@test()
def tcp_on_other_than_loopback_is_refused_at_the_start(case):
    for address in ("0.0.0.0", "[::]", "192.0.2.1"):
        status, text = refused(case, "--listen", f"tcp:{address}:{free_port()}", "--token-file", case.path("token"))
        check(status in (1, 2) and "loopback" in text, f"{status}: {text}")


@test()
def a_unix_socket_is_private_and_replaces_a_stale_one(case):
    path = case.path("agent.sock")
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(path)
    stale.close()
    agent = Agent(case)
    equal(stat.S_IMODE(os.stat(path).st_mode), 0o600)
    agent.connect().ping()


@test()
def a_file_that_is_no_socket_is_not_replaced(case):
    path = case.path("file")
    with open(path, "w", encoding="ascii") as file:
        file.write("precious")
    refused(case, "--listen", f"unix:{path}")
    equal(open(path, encoding="ascii").read(), "precious")


@test()
def several_addresses_serve_the_same_processes(case):
    agent = Agent(case, listen=[f"unix:{case.path('other.sock')}"])
    run = agent.connect().run(["/bin/echo", "shared"])
    with Connection(f"unix:{case.path('other.sock')}") as other:
        stream = other.attach(run.id)
        stream.wait()
        equal(Run(stream).stdout, b"shared\n")


# About the agent


DOCUMENTED = (
    "hello ping info stats log.tail rpc.discover cancel process.start process.attach process.wait process.get"
    " process.list process.stdin process.close_stdin process.signal process.kill process.forget"
).split()


@test()
def discover_describes_every_method(case):
    document = Agent(case).connect().call("rpc.discover")
    check(re.fullmatch(r"1\.\d+\.\d+", document["openrpc"]), f"openrpc: {document['openrpc']}")
    check(document["info"]["title"] and document["info"]["version"], f"{document['info']}")
    methods = {m["name"]: m for m in document["methods"]}
    equal(len(methods), len(document["methods"]), "each name once")
    check(set(DOCUMENTED) <= set(methods), f"missing: {set(DOCUMENTED) - set(methods)}")
    for name, method in methods.items():
        check(isinstance(method["params"], list), f"{name}: params")
        for param in method["params"]:
            check(param["name"] and isinstance(param["schema"], dict), f"{name}: {param}")
        check(method["result"]["name"] and isinstance(method["result"]["schema"], dict), f"{name}: result")
    fields = {p["name"] for p in methods["process.start"]["params"]}
    check({"argv", "command", "cwd", "env", "stdin", "merge", "timeout_ms", "key"} <= fields, f"{fields}")


@test()
def info_stats_and_the_log_are_served(case):
    agent = Agent(case, arguments=["--log-level", "info"])
    connection = agent.connect()
    info = connection.call("info")
    check(agent.pid in flat(info) and agent.supervisor in flat(info), f"pids: {info}")
    check(connection.hello["boot_id"] in flat(info), f"boot id: {info}")
    stats = connection.call("stats")
    check(all(isinstance(v, (int, dict, str, list)) for v in stats.values()), f"{stats}")
    lines = connection.call("log.tail", lines=5)
    check(isinstance(lines, dict), f"{lines}")
    fails(lambda: connection.call("log.tail", lines=-1), "INVALID_PARAMS")


def flat(value):
    """All values of nested objects and lists."""
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in flat(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in flat(item)]
    return [value]


@test()
def variables_never_appear_in_the_log(case):
    agent = Agent(case, arguments=["--log-level", "debug"])
    connection = agent.connect()
    connection.run(["/bin/true"], env={"PASSWORD": "hunter2-in-the-environment"})
    connection.run(["/bin/cat"], input=b"hunter2-in-the-input")
    check("hunter2" not in agent.log(), "secrets in the log")
    check("hunter2" not in json.dumps(connection.call("log.tail", lines=1000)), "secrets in log.tail")


if __name__ == "__main__":
    main()
