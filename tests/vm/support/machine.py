"""Guests under QEMU, without KVM, each with a virtio-vsock of its own.

    with Machine(directory, initramfs="initramfs.gz") as machine:
        machine.start()
        machine.wait_listening(1024)
        machine.nsctl("run", "--", "uname", "-r")

The device is a process beside QEMU that speaks Firecracker's hybrid handshake: the host connects to a
unix socket and writes "CONNECT PORT"; what the guest dials at CID 2 arrives at PATH_PORT. This host's
own vsock is never used.

Everything of a machine is in its directory, and ends with it: by stop(), by the time limit, and when
this process ends, however that happens (PR_SET_PDEATHSIG). Standard library only, since packaging/vm
uses it too.
"""

import concurrent.futures
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import uuid
from dataclasses import dataclass, field

from support.monitor import MachineError, Monitor

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
VSOCK = "vsock0"
PORT = 1024
# A fifth of an emulated boot would be the kernel's tests of its ciphers.
CMDLINE = "quiet panic=-1 cryptomgr.notests"
PR_SET_PDEATHSIG = 1
# PCI addresses are fixed, since a snapshot can be restored only into the same ones.
RNG_SLOT, VSOCK_SLOT, NIC_SLOT, DRIVE_SLOT = 0x5, 0x6, 0x7, 0x8


@dataclass(frozen=True)
class Architecture:
    """What guests of one architecture have, and where it comes from. kernel: the usual one. get: what
    makes it and installs QEMU. generation: whether there is a vmgenid."""

    qemu: str
    board: str
    cpu: str
    console: str
    kernel: str
    get: str
    generation: bool


ARCHITECTURES = {
    "amd64": Architecture(
        qemu="qemu-system-x86_64",
        board="pc",
        cpu="max",
        console="ttyS0",
        kernel="6.12",
        get="packaging/install-dependencies --vm",
        generation=True,
    ),
    # To emulate what "max" has, pointer authentication above all, takes several times as long.
    "arm64": Architecture(
        qemu="qemu-system-aarch64",
        board="virt",
        cpu="cortex-a72",
        console="ttyAMA0",
        kernel="arm64",
        get="packaging/arm64 guest",
        generation=False,
    ),
}

_libc = ctypes.CDLL(None, use_errno=True)
# The children die with the thread that started them: one that lives as long as this process.
_spawner = concurrent.futures.ThreadPoolExecutor(1, "spawner")


def vm_directory():
    """Where the device and the kernels are."""
    return os.path.abspath(os.environ.get("NSP_VM_DIR") or os.path.join(TOP, "build/vm"))


def device_program():
    return os.path.join(vm_directory(), "bin/vhost-device-vsock")


def kernel_directory(name):
    return os.path.join(vm_directory(), "kernels", name)


def missing(kernels=("6.12",), arch="amd64"):
    """What this host lacks to run guests, in one line; None when nothing."""
    kind = ARCHITECTURES[arch]
    if not shutil.which(kind.qemu):
        return f"there is no {kind.qemu} ({kind.get})"
    for name in kernels:
        if not os.path.exists(os.path.join(kernel_directory(name), "vmlinux")):
            return f"there is no kernel {name} ({kind.get})"
    build = os.path.join(TOP, "tests/vm/device/build")
    check = subprocess.run([build, "--check", vm_directory()], capture_output=True, text=True, check=False)
    return check.stderr.strip() or f"status {check.returncode} of {build}" if check.returncode else None


def _prepare_child():
    """In the child: it dies with us, and a Ctrl-C at the terminal is ours to handle."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    os.setpgid(0, 0)


def _spawn(command, log):
    def start():
        with open(log, "ab") as out:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=dict(os.environ, RUST_LOG=os.environ.get("RUST_LOG", "warn")),
                preexec_fn=_prepare_child,
            )

    return _spawner.submit(start).result()


def _end(process, seconds=5):
    if process.poll() is None:
        process.kill()
    return process.wait(seconds)


def _text(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def poll(condition, seconds, about):
    """Waits until the condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise MachineError(f"not within {seconds:g} s: {about}")
        time.sleep(0.005)


class Device:
    """The process behind one guest's virtio-vsock. It outlives QEMU and can serve the next one."""

    # Guests with Linux 6.12 send larger packets in more pieces than the device can read.
    OPTIONS = "tx-buffer-size=28672"

    def __init__(self, directory, cid=3):
        self.control = os.path.join(directory, "vhost.sock")
        self.path = os.path.join(directory, "v")
        self.log = os.path.join(directory, "device.log")
        self.cid = cid
        self.process = None

    def start(self):
        option = f"guest-cid={self.cid},socket={self.control},uds-path={self.path},{self.OPTIONS}"
        self.process = _spawn([device_program(), "--vm", option], self.log)
        poll(lambda: os.path.exists(self.control) or self.process.poll() is not None, 5, "the device listens")
        if self.process.poll() is not None:
            raise MachineError(f"the device ended: {_text(self.log)}")

    def stop(self):
        if self.process:
            _end(self.process)
            self.process = None
        for path in (self.control, self.path):
            if os.path.exists(path):
                os.unlink(path)


@dataclass
class Drive:
    """A raw image that the guest sees as /dev/vdX, in the order of the list. discard: what the guest
    writes is not in the image afterwards."""

    path: str
    read_only: bool = False
    serial: str = ""
    discard: bool = False


@dataclass
class Machine:
    """One guest. directory is its own, must exist, and should have a short name: it holds sockets.

    time_limit: seconds after start() when it is killed, whatever happens. cmdline comes behind our own.
    reboots: a reboot of the guest boots it again, instead of ending QEMU. nic: a back end of QEMU's
    -netdev ("user,restrict=on"). guid: the generation that the guest sees (vmgenid). arguments: more for
    QEMU. vsock: False leaves the device out, to be plugged in later; mmio: it is not on the PCI bus, as with
    Firecracker, but where only a device tree tells of it (arm64), for the guest's whole life.
    """

    directory: str
    initramfs: str
    arch: str = "amd64"
    kernel: str = ""
    memory_mib: int = 256
    cmdline: str = ""
    smp: int = 1
    drives: list = field(default_factory=list)
    nic: str = ""
    reboots: bool = False
    cid: int = 3
    vsock: bool = True
    mmio: bool = False
    guid: str = ""
    arguments: list = field(default_factory=list)
    time_limit: float = 120

    def __post_init__(self):
        self.kind = ARCHITECTURES[self.arch]
        self.kernel = self.kernel or self.kind.kernel
        self.guid = self.guid or str(uuid.uuid4())
        self.device = Device(self.directory, self.cid)
        self.console_path = os.path.join(self.directory, "console.log")
        self.log_path = os.path.join(self.directory, "qemu.log")
        self.process = None
        self.monitor = None
        self.started = None
        self.out_of_time = False
        self._watchdog = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    # Its life

    def _disks(self):
        for number, drive in enumerate(self.drives):
            mode = "on" if drive.read_only else "off"
            serial = f",serial={drive.serial}" if drive.serial else ""
            snapshot = ",snapshot=on" if drive.discard else ""
            yield from (
                "-drive",
                f"if=none,id=drive{number},format=raw,read-only={mode}{snapshot},file={drive.path}",
                "-device",
                f"virtio-blk-pci,id=disk{number},drive=drive{number},addr={DRIVE_SLOT + number:#x}{serial}",
            )

    def _vsock(self):
        yield from ("-chardev", f"socket,id=vs0,path={self.device.control}")
        if self.mmio:
            yield from ("-global", "virtio-mmio.force-legacy=false")
            yield from ("-device", f"vhost-user-vsock-device,chardev=vs0,id={VSOCK}")
        else:
            yield from ("-device", f"vhost-user-vsock-pci,chardev=vs0,id={VSOCK},addr={VSOCK_SLOT:#x}")

    def _command(self):
        kernel = os.path.join(kernel_directory(self.kernel), "vmlinux")
        size = f"{self.memory_mib}M"
        command = [self.kind.qemu, "-nodefaults", "-no-user-config", "-display", "none"]
        command += ["-accel", "tcg", "-cpu", self.kind.cpu]
        command += ["-smp", str(self.smp), "-m", size, "-rtc", "base=utc"]
        # The device maps the memory of the guest.
        command += ["-object", f"memory-backend-memfd,id=mem0,size={size},share=on"]
        command += ["-M", f"{self.kind.board},memory-backend=mem0", "-kernel", kernel, "-initrd", self.initramfs]
        command += ["-append", f"console={self.kind.console} {CMDLINE} {self.cmdline}".strip()]
        command += ["-serial", f"file:{self.console_path}"]
        command += ["-qmp", f"unix:{self._monitor_path()},server=on,wait=off"]
        command += ["-device", f"virtio-rng-pci,addr={RNG_SLOT:#x}"]
        if self.kind.generation:
            command += ["-device", f"vmgenid,guid={self.guid}"]
        if not self.reboots:
            command += ["-no-reboot"]
        if self.vsock:
            command += self._vsock()
        if self.nic:
            command += ["-netdev", f"{self.nic},id=nic0"]
            command += ["-device", f"virtio-net-pci,id=eth0,netdev=nic0,addr={NIC_SLOT:#x}"]
        return [*command, *self._disks(), *self.arguments]

    def _monitor_path(self):
        return os.path.join(self.directory, "qmp.sock")

    def start(self):
        """Starts the device and QEMU; returns when the monitor answers."""
        self._watchdog = threading.Timer(self.time_limit, self._expire)
        self._watchdog.daemon = True
        self._watchdog.start()
        if self.vsock:
            self.device.start()
        self.started = time.monotonic()
        self.process = _spawn(self._command(), self.log_path)
        poll(lambda: self._connected() or self.process.poll() is not None, 10, "QEMU listens")
        if not self.monitor:
            raise MachineError(f"QEMU ended: {_text(self.log_path)}")
        return self

    def _connected(self):
        try:
            self.monitor = self.monitor or Monitor(self._monitor_path())
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True

    def _expire(self):
        self.out_of_time = True
        if self.process and self.process.poll() is None:
            self.process.kill()

    def running(self):
        return self.process is not None and self.process.poll() is None

    def wait_end(self, seconds=20):
        """Waits until the guest has ended by itself; returns why: "guest-shutdown", "guest-reset", or
        "guest-panic", which to QEMU is a reset like any other."""
        try:
            reason = self.monitor.wait_event("SHUTDOWN", seconds)["reason"]
            self.process.wait(5)
        except (MachineError, subprocess.TimeoutExpired) as error:
            raise MachineError(f"the guest did not end by itself: {error}\n{self.last_words()}") from None
        return "guest-panic" if "Kernel panic" in self.console() else reason

    def stop(self):
        """Ends everything at once, as if the power failed. Harmless when it has ended. For an end in
        order: ctrl_alt_delete() and wait_end()."""
        if self._watchdog:
            self._watchdog.cancel()
        if self.monitor:
            self.monitor.close()
            self.monitor = None
        if self.process:
            _end(self.process)
        self.device.stop()

    # What the host can do to it

    def reset(self):
        self.monitor.command("system_reset")

    def power_button(self):
        self.monitor.command("system_powerdown")

    def ctrl_alt_delete(self):
        keys = [{"type": "qcode", "data": key} for key in ("ctrl", "alt", "delete")]
        self.monitor.command("send-key", {"keys": keys})

    def unplug_vsock(self):
        """Only a running guest lets go of it. Its process ends too, and the host's connections with it."""
        self.monitor.command("device_del", {"id": VSOCK})
        self.monitor.wait_event("DEVICE_DELETED", device=VSOCK)
        self.monitor.command("chardev-remove", {"id": "vs0"})
        self.device.stop()

    def plug_vsock(self, cid=None):
        self.device.cid = cid or self.device.cid
        self.device.start()
        address = {"type": "unix", "data": {"path": self.device.control}}
        back_end = {"type": "socket", "data": {"addr": address, "server": False}}
        self.monitor.command("chardev-add", {"id": "vs0", "backend": back_end})
        plug = {"driver": "vhost-user-vsock-pci", "id": VSOCK, "chardev": "vs0", "addr": f"{VSOCK_SLOT:#x}"}
        self.monitor.command("device_add", plug)

    # Its vsock

    def driver_ready(self):
        """Whether the guest's driver has taken over the device."""
        path = f"/machine/peripheral/{VSOCK}" + ("" if self.mmio else "/virtio-backend")
        status = self.monitor.command("x-query-virtio-status", {"path": path})
        return bool(status.get("started")) and "vhost-dev" in status

    def dial(self, port=PORT, seconds=5):
        """A connection to a port of the guest. ConnectionError when nobody listens there."""
        link = socket.socket(socket.AF_UNIX)
        link.settimeout(seconds)
        try:
            link.connect(self.device.path)
            link.sendall(b"CONNECT %d\n" % port)
            answer = b""
            while not answer.endswith(b"\n"):
                byte = link.recv(1)
                if not byte:
                    raise ConnectionRefusedError(f"nobody listens on port {port} of the guest")
                answer += byte
        except BaseException:
            link.close()
            raise
        return link

    def listening(self, port=PORT):
        try:
            self.dial(port, 1).close()
        except OSError:
            return False
        return True

    def wait_listening(self, port=PORT, seconds=30):
        """Waits for the driver, then until something in the guest listens; returns the seconds since
        start()."""
        try:
            poll(lambda: self.driver_ready() and self.listening(port), seconds, f"port {port} of the guest")
        except MachineError as error:
            raise MachineError(f"{error}\n{self.last_words()}") from None
        return time.monotonic() - self.started

    def listener(self, port):
        """A socket that accepts what the guest dials at CID 2 and this port. The caller closes it."""
        link = socket.socket(socket.AF_UNIX)
        path = f"{self.device.path}_{port}"
        if os.path.exists(path):
            os.unlink(path)
        link.bind(path)
        link.listen(64)
        return link

    @property
    def url(self):
        """For nsctl -c and NSCTL_CONNECT."""
        return f"hybrid:{self.device.path}:{PORT}"

    def nsctl(self, *arguments, seconds=20, **options):
        """Runs nsctl on this guest and returns the subprocess.CompletedProcess; output is captured."""
        program = os.environ.get("NSP_NSCTL") or os.environ.get("NSCTL") or os.path.join(TOP, "build/nsctl")
        options = {"capture_output": True, **options}
        if "input" not in options:
            options.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run([program, "-c", self.url, *arguments], timeout=seconds, check=False, **options)

    # What it says

    def console(self):
        return _text(self.console_path)

    def wait_console(self, text, seconds=20):
        poll(lambda: text in self.console(), seconds, f"{text!r} on the console")

    def last_words(self):
        """The end of its console and of the logs of QEMU and the device."""
        why = "\n(killed after its time limit)" if self.out_of_time else ""
        logs = (("console", self.console_path), ("QEMU", self.log_path), ("device", self.device.log))
        return "\n".join(f"--- {name}\n{_text(path)[-6000:]}" for name, path in logs) + why
