"""A small test runner that prints TAP.

    from support.tap import main, test

    @test(timeout=5)
    def an_exit_code_is_reported(case):
        ...

    if __name__ == "__main__":
        main()

A test is a function of a Case; its name says the behaviour. It fails by an exception, is skipped by
Skip, and has its own deadline. Arguments of the program select tests by pattern; -l lists them.
All times are multiplied by TIME_FACTOR, for slow builds.
"""

import ctypes
import faulthandler
import fnmatch
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback

TIME_FACTOR = float(os.environ.get("TIME_FACTOR", "1"))
TEARDOWN_SECONDS = 20
PR_SET_CHILD_SUBREAPER = 36

_tests = []


class Skip(Exception):
    """The test cannot run here; the text says why."""


class Failure(Exception):
    """What was expected did not happen."""


class _OutOfTime(BaseException):
    """Not an Exception, so that no test catches it by accident."""


def scaled(seconds):
    return seconds * TIME_FACTOR


def number_from_environment(name, default):
    """For the long variants of a test."""
    return int(os.environ.get(name, default))


def test(timeout=15, root=False):
    """Registers a test. timeout in seconds; root: skipped for other users."""

    def register(function):
        _tests.append((function.__name__, function, timeout, root))
        return function

    return register


def equal(actual, expected, about=""):
    if actual != expected:
        prefix = f"{about}: " if about else ""
        raise Failure(f"{prefix}expected {_short(expected)}, got {_short(actual)}")


def check(condition, about):
    if not condition:
        raise Failure(about)


def at_most(actual, limit, about):
    if actual > limit:
        raise Failure(f"{about}: at most {limit}, got {actual}")


def eventually(condition, seconds, about):
    """Polls until the condition holds, and returns what it returned. about may be a function."""
    end = time.monotonic() + scaled(seconds)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"not within {scaled(seconds):g} s: {about() if callable(about) else about}")
        time.sleep(0.005)


def _short(value):
    text = repr(value)
    return text if len(text) <= 600 else f"{text[:300]} ... {text[-200:]} ({len(text)} characters)"


class Worker:
    """A thread whose exception is raised again by join."""

    def __init__(self, function, arguments):
        self.result = None
        self.error = None
        self.function = function
        self.thread = threading.Thread(target=self._run, args=arguments, daemon=True)
        self.thread.start()

    def _run(self, *arguments):
        try:
            self.result = self.function(*arguments)
        except BaseException as error:
            self.error = error

    @property
    def running(self):
        return self.thread.is_alive()

    def join(self, seconds=15):
        self.thread.join(scaled(seconds))
        if self.thread.is_alive():
            raise Failure(f"{self.function.__name__} did not end in {scaled(seconds):g} s")
        if self.error:
            raise self.error
        return self.result


class Case:
    """One test in progress: its directory, and what has to be undone at its end."""

    def __init__(self, name):
        self.name = name
        self.directory = tempfile.mkdtemp(prefix="t-")
        self._deferred = []
        self._notes = []

    def defer(self, function, *arguments):
        """Calls the function at the end of the test, the last deferred first."""
        self._deferred.append((function, arguments))

    def on_failure(self, describe):
        """describe() returns text that is printed when the test fails."""
        self._notes.append(describe)

    def path(self, name):
        return os.path.join(self.directory, name)

    def thread(self, function, *arguments):
        return Worker(function, arguments)

    def _finish(self):
        """Undoes everything; returns the errors of it."""
        errors = []
        while self._deferred:
            function, arguments = self._deferred.pop()
            try:
                function(*arguments)
            except Exception:
                errors.append(traceback.format_exc())
        return errors

    def _describe(self):
        return [describe() for describe in self._notes]


def _on_alarm(_number, _frame):
    raise _OutOfTime


def _run_one(function, timeout):
    """Returns (skip reason or None, error texts)."""
    case = Case(function.__name__)
    reason, errors = None, []
    try:
        signal.setitimer(signal.ITIMER_REAL, scaled(timeout))
        function(case)
    except Skip as skip:
        reason = str(skip)
    except _OutOfTime:
        errors.append(f"out of time ({scaled(timeout):g} s)\n{traceback.format_exc()}")
    except Exception:
        errors.append(traceback.format_exc())
    finally:
        signal.setitimer(signal.ITIMER_REAL, scaled(TEARDOWN_SECONDS))
    try:
        errors += case._finish()
    except _OutOfTime:
        errors.append(f"the clean-up ran out of time\n{traceback.format_exc()}")
        errors += case._finish()
    signal.setitimer(signal.ITIMER_REAL, 0)
    if errors:
        errors += case._describe()
    shutil.rmtree(case.directory, ignore_errors=True)
    return reason, errors


def main():
    arguments = sys.argv[1:]
    if arguments == ["-l"]:
        print("\n".join(name for name, *_ in _tests))
        return
    selected = [t for t in _tests if not arguments or any(fnmatch.fnmatch(t[0], p) for p in arguments)]
    signal.signal(signal.SIGALRM, _on_alarm)
    # Whoever runs us in the background may have had these ignored, and our children would inherit that.
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    # What a dying supervisor leaves behind becomes our child, so that it can be found.
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    failed = 0
    print(f"1..{len(selected)}", flush=True)
    for number, (name, function, timeout, root) in enumerate(selected, 1):
        title = name.replace("_", " ")
        if root and os.geteuid() != 0:
            print(f"ok {number} - {title} # SKIP needs root", flush=True)
            continue
        faulthandler.dump_traceback_later(scaled(timeout + 2 * TEARDOWN_SECONDS + 5), exit=True)
        started = time.monotonic()
        reason, errors = _run_one(function, timeout)
        faulthandler.cancel_dump_traceback_later()
        if errors:
            failed += 1
            print(f"not ok {number} - {title}")
            for line in "\n".join(errors).splitlines():
                print(f"#   {line}")
        elif reason is not None:
            print(f"ok {number} - {title} # SKIP {reason}")
        else:
            print(f"ok {number} - {title}")
        print(f"# {time.monotonic() - started:.2f} s", flush=True)
    sys.exit(1 if failed else 0)
