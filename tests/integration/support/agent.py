"""The agent under test: a supervisor and its agent in a directory of the test's own."""

import os
import signal
import subprocess
import time

from support import proc, wire
from support.tap import Failure, Skip, check, eventually, scaled

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
SANITIZER_MARKS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:", "SUMMARY: ")
STOP_SECONDS = 8
# The default environment of what the agent starts must not depend on who runs the tests.
PLAIN_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Children of the test itself, which are nobody's leftovers.
_own = set()


def _program(names, default):
    for name in names:
        if os.environ.get(name):
            return os.path.abspath(os.environ[name])
    return os.path.join(TOP, default)


def agent_program():
    return _program(("NSP_AGENT", "NULLSPACE_AGENT"), "build/nullspace-agent")


def nsctl_program():
    return _program(("NSP_NSCTL", "NSCTL"), "build/nsctl")


def program_has(text):
    """Whether those bytes occur in the agent's program."""
    with open(agent_program(), "rb") as file:
        return text in file.read()


def needs(condition, reason):
    if not condition:
        raise Skip(reason)


def launch(case, command, **options):
    """A subprocess of the test, killed at its end if it still runs."""
    process = subprocess.Popen(command, **options)
    _own.add(process.pid)

    def end():
        if process.poll() is None:
            process.kill()
            process.wait(scaled(5))
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:
                pipe.close()
        _own.discard(process.pid)

    case.defer(end)
    return process


class Agent:
    """A running supervisor with its agent; stopped and checked at the end of the test."""

    def __init__(self, case, listen=(), arguments=(), environment=None, before_exec=None, keep_fds=(), wrap=()):
        self.case = case
        self.directory = case.directory
        self.socket_path = case.path("agent.sock")
        self.address = f"unix:{self.socket_path}"
        self.log_path = case.path("agent.log")
        self.connections = []
        self.end_statuses = (0,)
        self.stopped = False
        command = [*wrap, agent_program(), "--listen", self.address]
        for address in listen:
            command += ["--listen", address]
        command += arguments
        if "--log-level" not in command:
            command += ["--log-level", os.environ.get("NSP_LOG_LEVEL", "info")]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env=dict(os.environ, **{"PATH": PLAIN_PATH, **(environment or {})}),
                preexec_fn=before_exec,
                pass_fds=keep_fds,
            )
        self.supervisor = self.process.pid
        _own.add(self.process.pid)
        self._wrapped = bool(wrap)
        case.defer(self.stop)
        case.on_failure(self.log_tail)
        self._wait_listening()

    def _wait_listening(self):
        end = time.monotonic() + scaled(10)
        while True:
            try:
                wire.dial(self.address).close()
                break
            except OSError as error:
                if self.process.poll() is not None:
                    raise Failure(f"the supervisor ended with {self.process.returncode}") from None
                if time.monotonic() > end:
                    raise Failure(f"the agent does not listen: {error}") from None
                time.sleep(0.002)
        if self._wrapped:
            self.supervisor = eventually(
                lambda: next((p for p in proc.children(self.process.pid) if self._is_ours(p)), None),
                5,
                "the supervisor appears below its wrapper",
            )

    # Talking to it

    def connect(self, **options):
        connection = wire.Connection(self.address, **options)
        self.connections.append(connection)
        return connection

    def connect_text(self, **options):
        connection = wire.TextConnection(self.address, **options)
        self.connections.append(connection)
        return connection

    def disconnect(self):
        while self.connections:
            self.connections.pop().close()

    # Its processes

    @staticmethod
    def _is_ours(pid):
        return proc.executable(pid) == os.path.realpath(agent_program())

    def find_agent(self):
        """The agent's pid, or None while there is none. A child between clone and execve has the same
        program, but its standard output is a pipe."""
        log = os.path.realpath(self.log_path)
        for pid in proc.children(self.supervisor):
            if self._is_ours(pid) and proc.is_running(pid) and proc.output_of(pid) == log:
                return pid
        return None

    @property
    def pid(self):
        return eventually(self.find_agent, 5, "there is an agent process")

    def kill_agent(self, number=signal.SIGKILL):
        """Kills the agent and waits for its end; returns the pid that it had."""
        pid = self.pid
        os.kill(pid, number)
        eventually(lambda: not proc.is_running(pid), 5, f"the agent {pid} is gone")
        return pid

    def restart_agent(self):
        """Kills the agent and waits until the next one answers."""
        self.kill_agent()
        with wire.Connection(self.address, timeout=10) as connection:
            connection.call("ping")
        return self.pid

    def workload(self):
        """Children of the supervisor that are not the agent."""
        agent = self.find_agent()
        return [pid for pid in proc.children(self.supervisor) if pid != agent]

    def descriptors(self):
        """How many descriptors supervisor and agent have, by what they are, once nothing is under way."""
        time.sleep(0.05)  # drops from the fd store wait for company, a few milliseconds
        return {
            who: sorted(_kind(link) for link in proc.descriptors(pid).values())
            for who, pid in (("supervisor", self.supervisor), ("agent", self.pid))
        }

    def expect_descriptors(self, before, seconds=5):
        """The same descriptors are open as before."""
        difference = {}

        def same():
            now = self.descriptors()
            difference.clear()
            difference.update({who: _difference(before[who], now[who]) for who in now if before[who] != now[who]})
            return not difference

        eventually(same, seconds, lambda: f"descriptors are as before: {difference}")

    def expect_no_workload(self, seconds=5):
        eventually(lambda: not self.workload(), seconds, lambda: f"children are gone: {self.workload()}")

    def memory_kib(self):
        """Proportional memory of supervisor and agent; always 0 where it cannot be measured."""
        if program_has(b"__asan_"):
            return 0  # it would be the sanitizer's
        try:
            return proc.pss_kib(self.supervisor) + proc.pss_kib(self.pid)
        except PermissionError:
            return 0

    # Its end

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def log_tail(self):
        return f"the end of the agent's log:\n{self.log()[-6000:]}"

    def stop(self):
        """Ends everything, by pid, and checks that nothing is left."""
        if self.stopped:
            return
        self.stopped = True
        self.disconnect()
        died = self.process.poll()
        errors = []
        if died is None:
            try:
                self.expect_no_zombies()
            except Failure as failure:
                errors.append(str(failure))
            os.kill(self.supervisor, signal.SIGTERM)
        else:
            errors.append(f"the supervisor had ended before the test did: {died}")
        try:
            status = self.process.wait(scaled(STOP_SECONDS))
            if died is None and status not in self.end_statuses:
                errors.append(f"the supervisor ended with status {status}")
        except subprocess.TimeoutExpired:
            errors.append(f"the supervisor did not end within {scaled(STOP_SECONDS):g} s of SIGTERM")
            os.kill(self.supervisor, signal.SIGKILL)
            self.process.wait(scaled(5))
        _own.discard(self.process.pid)
        errors += [f"left behind: {arguments}" for arguments in reap_leftovers()]
        log = self.log()
        errors += [f"the sanitizer complains: {mark}" for mark in SANITIZER_MARKS if mark in log]
        check(not errors, "; ".join(errors))

    def abandon(self):
        """Kills the supervisor; what is left is the test's."""
        self.stopped = True
        self.disconnect()
        os.kill(self.supervisor, signal.SIGKILL)
        self.process.wait(scaled(5))
        _own.discard(self.process.pid)
        self.case.defer(reap_leftovers)

    def expect_no_zombies(self, seconds=3):
        eventually(lambda: not proc.zombies(self.supervisor), seconds, "no zombies below the supervisor")


def _kind(link):
    """What a descriptor is, without the numbers that differ each time."""
    return link.split(":[")[0] if ":[" in link else link


def _difference(before, now):
    more, fewer = list(now), list(before)
    for item in before:
        if item in more:
            more.remove(item)
            fewer.remove(item)
    return {"more": more, "fewer": fewer}


def reap_leftovers():
    """Kills and reaps the orphans that became ours; returns their command lines."""
    left = []
    end = time.monotonic() + scaled(5)
    while time.monotonic() < end:
        orphans = [pid for pid in proc.children(os.getpid()) if pid not in _own]
        if not orphans:
            break
        for pid in orphans:
            if proc.is_running(pid):
                left.append((pid, proc.arguments(pid)))
                os.kill(pid, signal.SIGKILL)
            try:
                os.waitpid(pid, 0)
            except ChildProcessError:
                pass
    return [arguments for _, arguments in sorted(left)]
