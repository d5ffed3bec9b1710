"""What the tests of real guests share: a machine that belongs to a test case, and its root file system.

Importing this makes the modules of tests/integration/support importable too, as support.NAME: import
it first. A new test is a file test_X.py beside the others, and a word in Makefile.am:

    from support.guest import Guest, main
    from support.tap import equal, test

    @test(timeout=60)
    def the_kernel_is_named(case):
        guest = Guest(case)
        equal(guest.nsctl("run", "--", "uname", "-s").stdout, b"Linux\\n")

    if __name__ == "__main__":
        main()
"""

import atexit
import functools
import os
import shutil
import subprocess
import sys
import tempfile

from support import machine

sys.path.insert(1, os.path.join(machine.TOP, "tests/integration"))

from support import tap, wire  # noqa: E402
from support.agent import agent_program  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
# An init of busybox that loads the modules and starts the agent as its child.
PLAIN_INIT = os.path.join(HERE, "plain-init")


@functools.lru_cache(maxsize=None)
def images_directory():
    """A directory for the images that all tests of the suite share."""
    directory = tempfile.mkdtemp(prefix="images-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


def arm64_agent():
    """The agent under test, cross-built."""
    default = os.path.join(machine.TOP, "build-arm64/nullspace-agent")
    return os.path.abspath(os.environ.get("NSP_AGENT_ARM64") or default)


def _programs(arch, kernel):
    """The agent and the busybox for that architecture, as options of packaging/image."""
    if arch == "amd64":
        return ["--agent", agent_program()]
    return ["--agent", arm64_agent(), "--busybox", os.path.join(machine.kernel_directory(kernel), "bin/busybox")]


@functools.lru_cache(maxsize=None)
def initramfs(kernel="6.12", *options, arch="amd64"):
    """The path of an initramfs with the agent under test; options: more for packaging/image. Made at the
    first use. Not compressed: the emulated guest would be slow to unpack it."""
    path = os.path.join(images_directory(), f"{initramfs.cache_info().misses}.cpio")
    command = [os.path.join(machine.TOP, "packaging/image"), "initramfs", *_programs(arch, kernel)]
    command += ["--kernel-dir", machine.kernel_directory(kernel), *options, "-o", path]
    subprocess.run(command, check=True, timeout=60)
    return path


class Guest(machine.Machine):
    """A machine that is stopped at the end of the test, and whose console is shown when that fails.

    Started, and the agent listens, unless start=False. init: what is /init instead of the agent.
    image: more options for packaging/image.
    """

    def __init__(self, case, start=True, init=None, image=(), initramfs_path=None, arch="amd64", **options):
        directory = tempfile.mkdtemp(prefix="m", dir=case.directory)
        kernel = options.get("kernel") or machine.ARCHITECTURES[arch].kernel
        image = [*image, "--init", init] if init else image
        path = initramfs_path or initramfs(kernel, *image, arch=arch)
        super().__init__(directory, path, arch=arch, **options)
        self.case = case
        self.connections = []
        case.defer(self.stop)
        case.on_failure(self.describe)
        if start:
            self.start()
            self.wait_listening(seconds=tap.scaled(30))

    def stop(self):
        while self.connections:
            self.connections.pop().close()
        super().stop()

    def connect(self, **options):
        """The protocol's client of the integration tests, over this guest's vsock."""
        connection = wire.Connection(self.url, **options)
        self.connections.append(connection)
        return connection

    def describe(self):
        """The end of the logs; the whole console is kept beside the log of the suite."""
        kept = os.path.join(os.environ.get("BUILD_DIR") or os.path.join(machine.TOP, "build"), "tests/logs/vm")
        os.makedirs(kept, exist_ok=True)
        console = os.path.join(kept, f"{self.case.name}-{os.path.basename(self.directory)}.console")
        if os.path.exists(self.console_path):
            shutil.copyfile(self.console_path, console)
        return f"{self.last_words()}\n(console: {console})"


def main(kernels=("6.12",), arch="amd64"):
    """Runs the tests, or skips them all where no guest can run."""
    reason = machine.missing(kernels, arch)
    if not reason and arch == "arm64" and not os.path.exists(arm64_agent()):
        reason = f"there is no {arm64_agent()} (packaging/arm64 guest)"
    if not reason and tap.TIME_FACTOR != 1:
        reason = "an agent with sanitizers is not static, so it cannot be a guest's init"
    if reason:
        print(f"1..0 # SKIP {reason}")
        return
    tap.main()
