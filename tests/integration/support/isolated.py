"""The agent as PID 1 of namespaces of its own (see the program pid1): what a guest's agent does, without
a machine of its own. Nothing of this machine is in its reach, and the end of each test proves that."""

import json
import os
import shutil
import subprocess
import sys
import tempfile

from support import proc, wire
from support.agent import SANITIZER_MARKS, agent_program, launch, needs, program_has
from support.tap import Failure, check, equal, eventually, scaled

PID1 = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pid1")
BUSYBOX = "/bin/busybox"
STATUS_REFUSED = 77
LISTEN = "ns.listen=unix:/run/agent.sock"
COMMANDS = ("sh", "cat", "echo", "sleep", "kill", "mkfifo", "true", "hostname", "grep", "ls", "rm", "date")


def _is_static(path):
    with open(path, "rb") as file:
        return b"/ld-linux" not in file.read()


def needs_shell():
    needs(os.path.exists(BUSYBOX) and _is_static(BUSYBOX), "no static busybox")


def _hierarchy():
    """The directory of our own control group, or None where there is no cgroup2."""
    with open("/proc/self/cgroup", encoding="utf-8") as file:
        own = next((line[3:].strip() for line in file if line.startswith("0::")), None)
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        mounts = [line.split() for line in file if " - cgroup2 " in line]
    for fields in mounts:
        if own is not None and own.startswith(fields[3].rstrip("/") + "/"):
            return os.path.join(fields[4], os.path.relpath(own, fields[3]))
    return None


def _groups(top):
    return {name for name in os.listdir(top) if os.path.isdir(os.path.join(top, name))}


class Machine:
    """What a guest must leave alone."""

    def __init__(self, group):
        self.group = group
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            self.mounts = set(file)
        self.names = os.uname()[1]
        self.groups = _groups(group)
        self.controllers = self._read("cgroup.subtree_control")
        with open("/proc/swaps", encoding="utf-8") as file:
            self.swaps = file.read()

    def _read(self, name):
        try:
            with open(os.path.join(self.group, name), encoding="ascii") as file:
                return file.read()
        except FileNotFoundError:  # of the root group, on old kernels
            return ""

    def expect_unchanged(self, directory):
        """Other tests may have mounted something meanwhile."""
        now = Machine(self.group)
        equal(self.mounts - now.mounts, set(), "mounts that are gone or changed")
        equal({m for m in now.mounts - self.mounts if directory in m}, set(), "mounts of the test")
        equal((now.names, now.controllers, now.swaps), (self.names, self.controllers, self.swaps))
        equal((now.groups - self.groups) & {"agent", "work"}, set(), "control groups")


def _remove_group(path):
    def removed():
        for directory, _, _ in os.walk(path, topdown=False):
            try:
                os.rmdir(directory)
            except OSError:  # somebody is still on the way out
                return False
        return not os.path.exists(path)

    eventually(removed, 5, f"{path} can be removed")


class IsolatedGuest:
    """A guest, or with other arguments what they say.

    cmdline: the kernel's command line. config: members of the configuration file. texts: more files.
    """

    def __init__(self, case, cmdline=LISTEN, config=None, arguments=("--role=guest",), texts=None, shell=True):
        needs(not program_has(b"/ld-linux"), "the agent is not linked statically")
        if shell:
            needs_shell()
        group = _hierarchy()
        needs(group, "no cgroup2 hierarchy")
        self.case = case
        self.connections = []
        self.status = None
        self.directory = tempfile.mkdtemp(prefix="root-", dir=case.directory)
        self.log_path = f"{self.directory}.log"
        self._machine = Machine(group)
        self._group = os.path.join(group, f"nullspace-test-{os.getpid()}-{os.path.basename(self.directory)}")
        try:
            os.mkdir(self._group)
        except OSError as error:
            needs(False, f"no control group: {error.strerror}")
        case.defer(self.stop)
        case.on_failure(self.describe)
        self._launch(self._spec(cmdline, config, arguments, texts or {}, shell))

    def _spec(self, cmdline, config, arguments, texts, shell):
        files = {"init": agent_program()}
        texts = {"test/cmdline": f"console=ttyS0 {cmdline}\n", "test/swaps": "Filename\n", **texts}
        if shell:
            files["bin/busybox"] = BUSYBOX
        if config is not None:
            texts["etc/nullspace/agent.json"] = json.dumps(config)
        return {
            "directory": self.directory,
            "cgroup": self._group,
            "files": files,
            "links": {f"bin/{name}": "busybox" for name in COMMANDS} if shell else {},
            "texts": texts,
            "argv": ["/init", *arguments],
        }

    def _launch(self, spec):
        with open(self.log_path, "ab") as log:
            command = [sys.executable, "-I", "-S", PID1, json.dumps(spec)]
            self._holder = launch(self.case, command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        line = self._holder.stdout.readline()
        if not line:
            about = self.log().strip().splitlines()[-1:]
            needs(self._holder.wait(scaled(5)) != STATUS_REFUSED, f"no namespaces here: {about}")
            raise Failure(f"PID 1 cannot be started: {about}")
        self.pid = int(line)

    # Talking to it

    @property
    def address(self):
        return f"unix:/proc/{self.pid}/root/run/agent.sock"

    def wait_listening(self, seconds=10):
        def listening():
            check(proc.is_running(self.pid), "PID 1 has ended")
            try:
                wire.dial(self.address).close()
                return True
            except OSError:
                return False

        eventually(listening, seconds, "the agent listens")
        return self

    def connect(self):
        self.wait_listening()
        connection = wire.Connection(self.address)
        self.connections.append(connection)
        return connection

    def disconnect(self):
        while self.connections:
            self.connections.pop().close()

    def settled(self):
        """A connection, once the boot steps are done."""
        connection = self.connect()
        eventually(lambda: self.is_settled(connection), 10, lambda: f"the steps: {connection.call('guest.boot')}")
        return connection

    @staticmethod
    def is_settled(connection):
        boot = connection.call("guest.boot")
        return boot["running"] == 0 and any(step["name"] == "services" for step in boot["steps"])

    # Its processes and files, as this machine sees them

    def find_agent(self):
        """The agent's pid, or None while there is none."""
        for pid in self._children():
            if proc.is_running(pid) and proc.arguments(pid)[:2] == [b"nullspace-agent", b"agent"]:
                return pid
        return None

    def workload(self):
        agent = self.find_agent()
        return [pid for pid in self._children() if pid != agent]

    def _children(self):
        """Quicker than a search through /proc, where the kernel has it."""
        try:
            with open(f"/proc/{self.pid}/task/{self.pid}/children", encoding="ascii") as file:
                return [int(pid) for pid in file.read().split()]
        except FileNotFoundError:
            return proc.children(self.pid)

    def path(self, name):
        return f"/proc/{self.pid}/root/{name}"

    def read(self, name):
        try:
            with open(self.path(name), encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def mounts(self):
        """(target, type) of all mounts, in order."""
        with open(f"/proc/{self.pid}/mountinfo", encoding="utf-8") as file:
            lines = [line.split() for line in file]
        return [(fields[4], fields[fields.index("-") + 1]) for fields in lines]

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def wait_log(self, text, seconds=10):
        eventually(lambda: text in self.log(), seconds, lambda: f"in the log: {text}")

    def describe(self):
        return f"the end of the log of {os.path.basename(self.directory)}:\n{self.log()[-5000:]}"

    # Its end

    def signal(self, number):
        os.kill(self.pid, number)

    def wait_end(self, seconds=10):
        """How PID 1 ended: minus a signal's number, or a status. By reboot(2) it is SIGHUP for a restart and
        SIGINT for a halt or power off (pid_namespaces(7))."""
        try:
            self.status = self._holder.wait(scaled(seconds))
        except subprocess.TimeoutExpired:
            raise Failure(f"PID 1 did not end within {scaled(seconds):g} s") from None
        return self.status

    def stop(self):
        """By force, unless it has ended; then looks for traces."""
        if not self._group:
            return
        self.disconnect()
        if self._holder.poll() is None:
            os.kill(self._holder.pid, 9)
            self._holder.wait(scaled(5))
            eventually(lambda: not proc.is_running(self.pid), 5, "PID 1 has died with its parent")
        _remove_group(self._group)
        self._group = None
        self._machine.expect_unchanged(self.directory)
        log = self.log()
        equal([mark for mark in SANITIZER_MARKS if mark in log], [], "complaints of the sanitizer")
        shutil.rmtree(self.directory)
