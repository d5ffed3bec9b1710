"""A FUSE file system that never answers, without any library: fuse(4) and mount(2) by hand.

It is mounted in a mount namespace of the program that is being started, so nobody else sees it.
"""

import ctypes
import os
import select
import struct
import threading

from support.tap import Skip

CLONE_NEWNS = 0x00020000
MS_NOSUID, MS_NODEV, MS_REC, MS_PRIVATE = 2, 4, 16384, 1 << 18
FUSE_INIT = 26
IN_HEADER = struct.Struct("<IIQQIIII")
OUT_HEADER = struct.Struct("<IiQ")
INIT_OUT = struct.Struct("<IIIIHHIIHHI28x")

_libc = ctypes.CDLL(None, use_errno=True)


def _must(result, what):
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")


def unshare_mounts():
    """For the child: mounts made from now on are its own."""
    _must(_libc.unshare(CLONE_NEWNS), "unshare")
    _must(_libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "mount private")


class DeadFilesystem:
    """mount() belongs into the child, between fork and exec. Requests are taken and never answered."""

    def __init__(self, case):
        self.directory = case.path("dead")
        os.mkdir(self.directory)
        try:
            self.fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise Skip(f"/dev/fuse: {error.strerror}") from None
        self.requests = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        case.defer(self.close)

    def mount(self):
        unshare_mounts()
        options = f"fd={self.fd},rootmode=40000,user_id=0,group_id=0".encode()
        target = self.directory.encode()
        _must(_libc.mount(b"dead", target, b"fuse", MS_NOSUID | MS_NODEV, options), "mount fuse")

    def start(self):
        self._thread.start()

    def close(self):
        """All who wait for an answer get an error."""
        if self.fd < 0:
            return
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(5)
        os.close(self.fd)
        self.fd = -1

    def _serve(self):
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        while not self._stop.is_set():
            if not poll.poll(100):
                continue
            try:
                request = os.read(self.fd, 1 << 20)
            except OSError:
                return
            _, opcode, unique, *_ = IN_HEADER.unpack_from(request)
            if opcode == FUSE_INIT:
                body = INIT_OUT.pack(7, 31, 65536, 0, 12, 9, 65536, 1, 32, 0, 0)
                os.write(self.fd, OUT_HEADER.pack(OUT_HEADER.size + len(body), 0, unique) + body)
            else:
                self.requests.append(opcode)
