"""An ext4 file system with a root in it, made without any rights.

The files are unpacked under names of our own machine; owners, modes, devices, times and extended
attributes, which need rights or would not be the same twice, are written into the image by debugfs(8).
"""

import contextlib
import os
import posixpath
import shutil
import stat
import subprocess
import tarfile
import tempfile
import uuid

from images import debian, root
from images.common import Fault, copy, epoch, output_path, run, say
from images.rootfs import agent_additions

MIB = 1 << 20
BLOCK = 4096
INODE = 256
UUID = uuid.UUID("6e756c6c-7370-4163-a500-000000000001")
KINDS = {
    tarfile.DIRTYPE: stat.S_IFDIR,
    tarfile.SYMTYPE: stat.S_IFLNK,
    tarfile.CHRTYPE: stat.S_IFCHR,
    tarfile.BLKTYPE: stat.S_IFBLK,
    tarfile.FIFOTYPE: stat.S_IFIFO,
}


class Unpacked:
    """The members below a directory, as far as an ordinary user can make them."""

    def __init__(self, directory):
        self.top = os.path.join(directory, "root")
        self.directory = directory
        self.members = {}  # path -> TarInfo of what is there in the end
        self.size = 0
        os.mkdir(self.top, 0o700)

    def fill(self, members):
        for member, content in members:
            path = root.normal(member.name)
            parent = posixpath.dirname(path)
            if path != "/" and parent not in self.members:
                self._directory(parent)
            elif path != "/" and not self.members[parent].isdir():
                raise Fault(f"{path}: below something that is not a directory")
            self._remove(path, member)
            self._make(path, member, content)

    def _directory(self, path):
        """One that the archive does not mention."""
        if path != "/" and posixpath.dirname(path) not in self.members:
            self._directory(posixpath.dirname(path))
        member = tarfile.TarInfo(path)
        member.type, member.mode = tarfile.DIRTYPE, 0o755
        self._make(path, member, None)

    def _remove(self, path, successor):
        """A later member of the same name takes the place of the earlier one."""
        old = self.members.get(path)
        if old is None or (old.isdir() and successor.isdir()):
            return
        if old.isdir():
            raise Fault(f"{path}: a directory and something else")
        del self.members[path]
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.top + path)

    def _make(self, path, member, content):
        target = self.top + path
        if member.isdir():
            os.makedirs(target, exist_ok=True)
            os.chmod(target, member.mode | stat.S_IRWXU)
        elif member.islnk():
            first = root.normal(member.linkname)
            member = self.members.get(first)
            if member is None or member.isdir():
                raise Fault(f"{path}: a link to {first}, which is not there")
            if os.path.lexists(self.top + first):
                os.link(self.top + first, target, follow_symlinks=False)
        elif member.issym():
            os.symlink(member.linkname, target)
        elif member.isreg():
            with open(target, "wb") as file:
                copy(content, file)
            os.chmod(target, member.mode | stat.S_IRUSR)
            self.size += -(-member.size // BLOCK) * BLOCK
        elif member.type not in KINDS:
            raise Fault(f"{path}: of an unknown kind")
        self.members[path] = member

    def commands(self):
        """What debugfs has to do, line by line. mke2fs takes what it can from the files themselves."""
        time = epoch()
        for number, (path, member) in enumerate(sorted(self.members.items(), reverse=True)):
            name, target = _quoted(path), self.top + path
            mode = KINDS.get(member.type, stat.S_IFREG) | member.mode
            values = dict.fromkeys(("atime", "ctime", "mtime"), f"@{min(int(member.mtime), time):#x}")
            if os.path.lexists(target):
                found = os.lstat(target)
            else:
                found = None
                yield from self._node(path, member)
            for field, value, had in (
                ("mode", f"0{mode:o}", found and found.st_mode == mode),
                ("uid", member.uid, found and found.st_uid == member.uid),
                ("gid", member.gid, found and found.st_gid == member.gid),
            ):
                if not had:
                    values[field] = value
            for field, value in values.items():
                yield f"set_inode_field {name} {field} {value}"
            for key, value in sorted(member.pax_headers.items()):
                if key.startswith(root.XATTR):
                    yield from self._attribute(number, name, key[len(root.XATTR) :], value)
        for field in ("atime", "ctime", "mtime", "crtime"):
            yield f"set_inode_field /lost+found {field} @{time:#x}"

    def _node(self, path, member):
        yield f"cd {_quoted(posixpath.dirname(path))}"
        name = _quoted(posixpath.basename(path))
        if member.isfifo():
            yield f"mknod {name} p"
        else:
            yield f"mknod {name} {'c' if member.ischr() else 'b'} {member.devmajor} {member.devminor}"

    def _attribute(self, number, name, attribute, value):
        path = os.path.join(self.directory, f"{number}.{attribute}")
        with open(path, "wb") as file:
            file.write(value.encode("utf-8", "surrogateescape"))
        yield f"ea_set -f {_quoted(path)} {name} {_quoted(attribute)}"


def _quoted(text):
    if "\n" in text:
        raise Fault(f"{text!r}: a line end in a name")
    return '"' + text.replace('"', '""') + '"'


def make_file_system(unpacked, options, path):
    inodes = len(unpacked.members)
    needed = unpacked.size + inodes * (INODE + BLOCK // 4)
    size = options.size or -(-needed * 5 // 4 // MIB) + 64
    with open(path, "wb") as file:
        file.truncate(size * MIB)
    environment = dict(os.environ, E2FSPROGS_FAKE_TIME=str(max(epoch(), 1)), LC_ALL="C")
    extended = f"hash_seed={options.hash_seed},root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0"
    command = ["mke2fs", "-q", "-F", "-t", "ext4", "-b", str(BLOCK), "-I", str(INODE), "-L", options.label]
    command += ["-N", str(max(inodes * 2, size * 32)), "-m", "1", "-U", str(options.uuid), "-E", extended]
    run([*command, "-d", unpacked.top, path], env=environment)
    script = os.path.join(unpacked.directory, "script")
    with open(script, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.writelines(f"{line}\n" for line in unpacked.commands())
    edited = subprocess.run(["debugfs", "-w", "-f", script, path], env=environment, capture_output=True, check=False)
    # It goes on behind a command that fails. The first line is its version.
    wrong = edited.stderr.decode(errors="replace").splitlines()[1:]
    if wrong or edited.returncode != 0:
        raise Fault(f"debugfs: {wrong[0] if wrong else f'status {edited.returncode}'}")
    return size


def ext4(options):
    for program in ("mke2fs", "debugfs"):
        if not shutil.which(program):
            raise Fault(f"there is no {program} (Debian's package e2fsprogs)")
    source = root.opened(options.root or debian.template(options))
    additions = agent_additions(root.Listing(source), options)
    say("laying out the files")
    with tempfile.TemporaryDirectory(prefix="image-") as scratch, output_path(options.output) as partial:
        unpacked = Unpacked(scratch)
        unpacked.fill(root.merged(source, additions))
        say(f"writing the file system: {len(unpacked.members)} entries, {unpacked.size / MIB:.0f} MiB")
        size = make_file_system(unpacked, options, partial)
    used = os.stat(options.output).st_blocks * 512 / MIB
    say(f"{options.output}: {size} MiB, of which {used:.0f} MiB are used")
