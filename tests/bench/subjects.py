"""What is measured: the agent, and the peers that are installed. Each runs in a directory of its own
and is stopped by its pid."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time

SECONDS = 10
# What a service has. The processes that the agent starts get it too, and a long one costs them time.
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": os.path.expanduser("~")}


class Unavailable(Exception):
    """A peer cannot be measured here; the text says why."""


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except FileNotFoundError:
        return []


def pss_kib(pids):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            total += int(re.search(r"^Pss: +(\d+)", file.read(), re.M).group(1))
    return total


def switches(pids):
    """How often the processes' threads have gone to sleep by themselves."""
    total = 0
    for pid in pids:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/status", encoding="ascii") as file:
                total += int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", file.read(), re.M).group(1))
    return total


def descriptors(pids):
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)


def eventually(condition, what):
    end = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > end:
            raise Unavailable(f"{what} did not come in {SECONDS} s")
        time.sleep(0.01)


class Subject:
    """Something that runs. name, target (for the programs' --target) and pids (whose cost counts)."""

    def __init__(self, name, kind, directory):
        self.name = name
        self.directory = os.path.join(directory, name)
        os.makedirs(self.directory, mode=0o700)
        self.socket = os.path.join(self.directory, "socket")
        self.target = f"{kind}:{self.socket}"
        self.processes = []
        self.pids = []

    def run(self, command, await_socket=True):
        with open(os.path.join(self.directory, "log"), "ab") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=ENVIRONMENT)
        self.processes.append(process)
        if await_socket:
            eventually(lambda: process.poll() is not None or os.path.exists(self.socket), f"the socket of {self.name}")
        if process.poll() is not None:
            with open(os.path.join(self.directory, "log"), encoding="utf-8", errors="replace") as log:
                raise Unavailable(f"{command[0]} ended at once: {log.read()[-300:].strip()}")
        return process

    def stop(self):
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes = []


class Agent(Subject):
    """Supervisor and agent."""

    def __init__(self, directory, program, name="agent"):
        super().__init__(name, "agent", directory)
        self.command = [program, "--listen", f"unix:{self.socket}", "--log-level", "warn"]

    def start(self):
        supervisor = self.run(self.command).pid
        eventually(lambda: children(supervisor), "the agent")
        self.pids = [supervisor, children(supervisor)[0]]
        return self


class Qga(Subject):
    """The QEMU guest agent (Debian: qemu-guest-agent), listening on a unix socket."""

    def __init__(self, directory):
        super().__init__("qemu-ga", "qga", directory)

    def start(self):
        program = find("qemu-ga", "qemu-guest-agent")
        self.pids = [self.run([program, "-m", "unix-listen", "-p", self.socket, "-t", self.directory]).pid]
        return self


class Ssh(Subject):
    """OpenSSH (Debian: openssh-server, openssh-client): a server on loopback with keys and
    configuration of its own, and a master connection that is kept."""

    def __init__(self, directory):
        super().__init__("openssh", "ssh", directory)

    def start(self):
        server = find("sshd", "openssh-server")
        client = find("ssh", "openssh-client")
        host_key, user_key = self.make_key("host"), self.make_key("user")
        shutil.copy(user_key + ".pub", self.path("authorized"))
        port = free_port()
        self.start_server(server, port, host_key)
        self.start_master(client, port, user_key)
        self.pids = self.session_pids()
        return self

    def path(self, name):
        return os.path.join(self.directory, name)

    def make_key(self, name):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.path(name)]
        if subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL).returncode != 0:
            raise Unavailable("ssh-keygen failed")
        return self.path(name)

    def start_server(self, program, port, host_key):
        with open(self.path("config"), "w", encoding="utf-8") as file:
            file.write(
                f"Port {port}\nListenAddress 127.0.0.1\nHostKey {host_key}\nPidFile none\n"
                f"AuthorizedKeysFile {self.path('authorized')}\nStrictModes no\nUsePAM no\n"
                "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n"
                "MaxSessions 100\nPrintMotd no\nPrintLastLog no\n"
                # bash reads the user's .bashrc for sshd, unless it is a shell's shell.
                "SetEnv SHLVL=1\n"
            )
        command = [program, "-D", "-e", "-f", self.path("config")]
        if os.geteuid() == 0:
            # As root it wants /run/sshd, which only its service makes: a /run of its own.
            script = 'mount -t tmpfs none /run && mkdir /run/sshd && exec "$@"'
            command = ["unshare", "--mount", "sh", "-c", script, "sh", *command]
        self.server = self.run(command, await_socket=False)
        eventually(lambda: self.server.poll() is not None or listens(port), "sshd")
        if self.server.poll() is not None:
            raise Unavailable("sshd ended at once")

    def start_master(self, program, port, user_key):
        command = [program, "-F", "none", "-M", "-N", "-S", self.socket, "-i", user_key, "-p", str(port)]
        known = f"UserKnownHostsFile={self.path('known')}"
        for option in ("StrictHostKeyChecking=no", known, "BatchMode=yes", "LogLevel=ERROR"):
            command += ["-o", option]
        self.run(command + ["127.0.0.1"])

    def session_pids(self):
        """The server's processes for our connection."""
        found, wanted = [], children(self.server.pid)
        while wanted:
            pid = wanted.pop()
            found.append(pid)
            wanted += children(pid)
        if not found:
            raise Unavailable("sshd has no session")
        return found


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def find(program, package):
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        raise Unavailable(f"{package} is not installed")
    return path
