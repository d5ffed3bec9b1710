#!/usr/bin/env python3
"""rpc.discover: the document agrees with itself, with the agent, with OpenRPC's meta-schema, and with
PROTOCOL.md.

The meta-schema comes from npm at the time of the test; without npm, a network or Python's
jsonschema that test is skipped.
"""

import json
import os
import re
import subprocess
import tarfile

from support.agent import TOP, Agent
from support.tap import Failure, Skip, check, equal, main, scaled, test
from support.wire import RpcError

META_SCHEMA = "@open-rpc/meta-schema@1.14.9"
DRAFT_7 = "http://json-schema.org/draft-07/schema#"


def discover(case):
    return Agent(case).connect().call("rpc.discover")


def download_meta_schema(case):
    command = ["npm", "pack", "--silent", META_SCHEMA]
    try:
        done = subprocess.run(
            command, cwd=case.directory, timeout=scaled(30), check=True, capture_output=True, text=True
        )
    except FileNotFoundError:
        raise Skip("npm is not installed") from None
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        raise Skip(f"npm cannot get {META_SCHEMA}") from None
    with tarfile.open(case.path(done.stdout.split()[-1])) as package:
        script = package.extractfile("package/index.js").read().decode()
    return json.loads(re.search(r"openrpcDocument = (\{.*\});", script, re.S).group(1))


def without_remote_references(schema):
    """The meta-schema, with JSON Schema's own in place of a copy elsewhere."""
    del schema["$schema"], schema["$id"]
    schema["definitions"]["JSONSchema"] = {"$ref": DRAFT_7}
    schema["definitions"]["referenceObject"]["properties"]["$ref"] = {"type": "string"}
    check("https://meta.json-schema.tools" not in json.dumps(schema), "no reference is left to what is not here")
    return schema


def references(value):
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        value = value.values()
    elif not isinstance(value, list):
        return
    for item in value:
        yield from references(item)


@test(timeout=60)
def the_document_is_valid_by_the_meta_schema(case):
    try:
        import jsonschema
    except ImportError:
        raise Skip("Python's jsonschema is not installed") from None
    schema = without_remote_references(download_meta_schema(case))
    validator = jsonschema.Draft7Validator(schema)
    document = discover(case)
    errors = [f"{list(error.path)}: {error.message[:300]}" for error in validator.iter_errors(document)]
    equal(errors, [])
    document["methods"][0]["unknown"] = 1
    check(not validator.is_valid(document), "the meta-schema refuses an unknown member")


@test()
def every_reference_in_the_document_resolves(case):
    document = discover(case)
    found = set(references(document))
    check(found, "there are references")
    for reference in found:
        value = document
        for name in reference.removeprefix("#/").split("/"):
            check(name in value, f"{reference} leads nowhere")
            value = value[name]


@test()
def methods_and_parameters_are_named_once_and_described(case):
    document = discover(case)
    names = [method["name"] for method in document["methods"]]
    equal(names, sorted(set(names)))
    for expected in ("hello", "ping", "info", "stats", "process.start", "process.attach", "rpc.discover"):
        check(expected in names, f"{expected} is described")
    for method in document["methods"]:
        check(method["summary"], f"{method['name']} has a summary")
        check(method["result"]["schema"]["description"], f"the result of {method['name']} is described")
        fields = [field["name"] for field in method["params"]]
        equal(len(fields), len(set(fields)), method["name"])
        for field in method["params"]:
            check(field.get("description"), f"{method['name']}.{field['name']} is described")


@test()
def an_undescribed_parameter_is_refused_by_every_method(case):
    agent = Agent(case)
    connection = agent.connect()
    for method in connection.call("rpc.discover")["methods"]:
        if method["x-text-mode-only"]:
            continue
        try:
            connection.call(method["name"], no_such_parameter=1)
        except RpcError as error:
            equal((error.name, error.object), ("INVALID_PARAMS", "no_such_parameter"), method["name"])
        else:
            raise Failure(f"{method['name']} takes any parameter")


def protocol_sections():
    with open(os.path.join(TOP, "protocol/PROTOCOL.md"), encoding="utf-8") as file:
        return re.split(r"^## \d+\. ", file.read(), flags=re.M)[1:]


def rows(text, column):
    """The rows, lists of cells, of the tables whose first column is called that."""
    for table in re.findall(rf"^\| {column} \|.*\n\|[ |-]+\n((?:\|.*\n)+)", text, re.M):
        for line in table.splitlines():
            yield [cell.strip() for cell in line.strip().strip("|").split("|")]


def names(cell):
    """The names in a cell such as `id, signal (default TERM), scope "leader", "group"`."""
    plain = re.sub(r'\([^()]*\)|"[^"]*"', "", cell)
    return {name.strip().rstrip("?") for name in plain.split(",")} - {""}


def told_of(method, section):
    """Parameters of a method that has no row of its own, from the section about it: those of its tables of
    fields and of the line before them, or else all that is in backticks."""
    fields = set().union(*(names(row[0]) for row in rows(section, "field")))
    lines = [line for line in section.splitlines() if not fields or f"`{method}` parameters" in line]
    return fields | set(re.findall(r"`(\w+)`", "\n".join(lines)))


@test()
def the_protocol_text_has_every_method_with_its_parameters(case):
    sections = protocol_sections()
    told = {row[0].split()[0]: names(row[1]) for section in sections for row in rows(section, "method")}
    methods = {m["name"]: {field["name"] for field in m["params"]} for m in discover(case)["methods"]}
    check(len(told) > 20, f"the tables of methods are found: {sorted(told)}")
    equal(set(told) - set(methods), set(), "there is no method that only the text has")
    for method, parameters in methods.items():
        if method in told:
            equal(told[method], parameters, method)
            continue
        about = [s for s in sections if s.startswith(f"{method}\n") or f"`{method}` parameters" in s]
        check(about, f"{method} is described")
        missing = parameters - set().union(*(told_of(method, section) for section in about))
        equal(missing, set(), method)


@test()
def the_protocol_text_has_every_number_of_stats_and_no_other(case):
    told = set().union(*(names(row[0]) for section in protocol_sections() for row in rows(section, "number")))
    equal(told, set(Agent(case).connect().call("stats")))


if __name__ == "__main__":
    main()
