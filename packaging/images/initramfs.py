"""An initramfs: the agent as init, busybox as user space, and modules of a kernel."""

import gzip
import lzma
import os
import posixpath
import re
import shutil
import stat
import tempfile

from images.common import (
    AGENT_PATH,
    Fault,
    epoch,
    machine_of,
    output,
    read,
    read_lines,
    run,
    run_static,
    say,
    static_program,
)

BUSYBOX_PATH = "/bin/busybox"

# What a guest of QEMU, Firecracker or Cloud Hypervisor needs where the kernel is modular. Those that the
# kernel has built in, or does not have, are left out.
MODULES = """
    virtio_pci virtio_mmio virtio_blk virtio_net virtio_console virtio-rng virtio_balloon
    vmw_vsock_virtio_transport vsock_loopback
    ext4 overlay squashfs erofs fuse virtiofs tun vmgenid
"""

DIRECTORIES = {
    "/dev": 0o755,
    "/etc/nullspace": 0o755,
    "/proc": 0o555,
    "/root": 0o700,
    "/run": 0o755,
    "/sys": 0o555,
    "/tmp": 0o1777,
    "/var/tmp": 0o1777,
    "/workspace": 0o755,
}
FILES = {
    "/etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "/etc/group": "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n",
}


class Tree:
    """A root file system in memory: path -> (mode with type, content or link target)."""

    def __init__(self):
        self.entries = {"/": (stat.S_IFDIR | 0o755, b"")}

    def directory(self, path, mode=0o755):
        self._parents(path)
        self.entries[path] = (stat.S_IFDIR | mode, b"")

    def file(self, path, content, mode=0o644):
        self._parents(path)
        self.entries[path] = (stat.S_IFREG | mode, content)

    def link(self, path, target):
        """A symbolic link."""
        self._parents(path)
        self.entries[path] = (stat.S_IFLNK | 0o777, target.encode())

    def copy(self, source, path):
        """A file, link or directory of this machine, with its permissions."""
        try:
            mode = os.lstat(source).st_mode
        except OSError as error:
            raise Fault(f"{source}: {error.strerror}") from None
        if stat.S_ISLNK(mode):
            self.link(path, os.readlink(source))
        elif stat.S_ISREG(mode):
            self.file(path, read(source), 0o755 if mode & 0o111 else 0o644)
        elif stat.S_ISDIR(mode):
            self.directory(path)
            for name in os.listdir(source):
                self.copy(os.path.join(source, name), posixpath.join(path, name))
        else:
            raise Fault(f"{source}: neither a file, a directory nor a link")

    def _parents(self, path):
        if path != posixpath.normpath(path) or not path.startswith("/"):
            raise Fault(f"{path}: not an absolute path in its shortest form")
        parent = posixpath.dirname(path)
        if parent not in self.entries:
            self.directory(parent)

    def cpio(self):
        """The tree in the format that the kernel unpacks ("newc"), in pieces."""
        time = epoch()
        for number, (path, (mode, content)) in enumerate(sorted(self.entries.items()), 1):
            yield from _cpio_entry(number, path.lstrip("/") or ".", mode, content, time)
        yield from _cpio_entry(0, "TRAILER!!!", 0, b"", 0)


def _cpio_entry(number, name, mode, content, time):
    encoded = name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    fields = (number, mode, 0, 0, links, time, len(content), 0, 0, 0, 0, len(encoded), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
    yield header + b"\0" * (-len(header) % 4)
    yield content + b"\0" * (-len(content) % 4)


class Modules:
    """The modules of one kernel, below DIR/lib/modules/VERSION as its package has them, after depmod."""

    def __init__(self, directory):
        found = os.path.join(directory, "lib/modules")
        versions = sorted(os.listdir(found)) if os.path.isdir(found) else []
        if len(versions) != 1:
            raise Fault(f"{found}: not the modules of one kernel: {' '.join(versions) or 'nothing'}")
        self.version = versions[0]
        self.directory = os.path.join(found, self.version)
        self.needs = {}
        for line in read_lines(os.path.join(self.directory, "modules.dep")):
            path, needs = line.split(":")
            self.needs[path] = needs.split()
        self.paths = {_module_name(path): path for path in self.needs}
        self.built_in = {_module_name(line) for line in read_lines(self._path("modules.builtin"))}

    def _path(self, name):
        return os.path.join(self.directory, name)

    def closure(self, names, optional):
        """The paths of these modules and of all that they need; optional: unknown ones are left out."""
        wanted = set()
        for name in map(_module_name, names):
            if name in self.paths:
                wanted |= {self.paths[name], *self.needs[self.paths[name]]}
            elif name not in self.built_in and not optional:
                raise Fault(f"{self.directory}: no module {name}")
        return sorted(wanted)

    def install(self, tree, paths, decompress):
        """Puts them into the tree, with a modules.dep of just these."""
        with tempfile.TemporaryDirectory() as scratch:
            target = os.path.join(scratch, "lib/modules", self.version)
            os.makedirs(target)
            for path in paths:
                content = read(self._path(path))
                if decompress:
                    path, content = _decompressed(path, content)
                os.makedirs(os.path.dirname(os.path.join(target, path)), exist_ok=True)
                with open(os.path.join(target, path), "wb") as file:
                    file.write(content)
            for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
                if os.path.exists(self._path(name)):
                    shutil.copyfile(self._path(name), os.path.join(target, name))
            run(["depmod", "-b", scratch, self.version])
            tree.copy(target, f"/lib/modules/{self.version}")


def _module_name(path):
    return re.sub(r"\.ko(\.\w+)?$", "", os.path.basename(path)).replace("-", "_")


def _decompressed(path, content):
    stem, suffix = os.path.splitext(path)
    if suffix == ".xz":
        return stem, lzma.decompress(content)
    if suffix == ".gz":
        return stem, gzip.decompress(content)
    if suffix == ".zst":
        return stem, run(["zstd", "-dcq"], content)
    return path, content


def basic_tree(options):
    """Directories, accounts, the agent as init, and busybox with a link for each of its programs."""
    tree = Tree()
    for path, mode in DIRECTORIES.items():
        tree.directory(path, mode)
    for path, text in FILES.items():
        tree.file(path, text.encode())
    agent, busybox = static_program(options.agent), static_program(options.busybox)
    if machine_of(agent) != machine_of(busybox):
        raise Fault(f"{options.agent} and {options.busybox} are for different machines")
    tree.file(AGENT_PATH, agent, 0o755)
    if options.init:
        tree.file("/init", read(options.init), 0o755)
    else:
        tree.link("/init", AGENT_PATH)
    tree.file(BUSYBOX_PATH, busybox, 0o755)
    for program in run_static(options.busybox, "--list-full").decode().split():
        path = f"/{program}"
        if path not in tree.entries:
            tree.link(path, BUSYBOX_PATH)
    return tree


def add_files(tree, additions):
    for addition in additions:
        source, separator, path = addition.rpartition(":")
        if not separator:
            raise Fault(f"--add {addition}: not FILE:PATH")
        tree.copy(source, path)


def initramfs(options):
    tree = basic_tree(options)
    modules = "no modules"
    if options.kernel_dir:
        kernel = Modules(options.kernel_dir)
        names = re.split(r"[\s,]+", (MODULES if options.modules is None else options.modules).strip())
        paths = kernel.closure(filter(None, names), optional=options.modules is None)
        kernel.install(tree, paths, options.decompress)
        modules = f"{len(paths)} modules of {kernel.version}"
    elif options.modules:
        raise Fault("--modules needs --kernel-dir")
    add_files(tree, options.add)
    with output(options.output) as file:
        file.writelines(tree.cpio())
    size = os.path.getsize(options.output) / (1 << 20)
    say(f"{options.output}: {len(tree.entries)} entries, {modules}, {size:.1f} MiB")
