"""What a guest says about its boot (guest.boot), and about what went wrong (log.tail)."""

from support.guest import tap


def steps(connection):
    """name -> step. Those of the agent may not all be there yet: see wait_steps."""
    return {step["name"]: step for step in connection.call("guest.boot")["steps"]}


def wait_steps(connection, *names, seconds=30):
    """The steps, as soon as all that are named have an outcome."""

    def done():
        found = steps(connection)
        return found if all(found.get(name, {}).get("state") not in (None, "running") for name in names) else None

    return tap.eventually(done, seconds, lambda: f"{names} in {steps(connection)}")


def log_text(connection, **params):
    """The lines of log.tail, as one text."""
    return "\n".join(line["text"] for line in connection.call("log.tail", lines=4096, **params)["lines"])


def shell(connection, script, seconds=30, **params):
    """What a script for sh wrote to stdout, without the last newline; it must succeed."""
    done = connection.run(["/bin/sh", "-c", script], timeout=seconds, **params)
    tap.equal(done.exit.get("code"), 0, f"{script}: {done.exit} {done.stderr!r} {done.stdout!r}")
    return done.stdout.decode(errors="replace").removesuffix("\n")
