"""A root file system that exists, as a directory or a tar: its members, and where its paths lead to.

Nothing is unpacked: a member is a tarfile.TarInfo and, for a file, what to read its content from. So
names, owners, devices and extended attributes go through without any rights, also those that this
machine could not have.
"""

import contextlib
import io
import lzma
import os
import posixpath
import stat
import tarfile
import zlib

from images.common import Fault, decompressed, epoch, output, say

XATTR = "SCHILY.xattr."
LINKS_MAX = 40
DAMAGES = (tarfile.TarError, EOFError, lzma.LZMAError, zlib.error, OSError)


class _Entry(tarfile.TarInfo):
    """tarfile takes a broken header behind the first for the end of the archive."""

    @classmethod
    def fromtarfile(cls, archive):
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from None


def normal(name):
    """The absolute path in its shortest form that a member's name stands for."""
    if ".." in name.split("/"):
        raise Fault(f"{name}: a name that leads out of the root")
    return posixpath.normpath("/" + name.strip("/"))


class Tar:
    def __init__(self, path):
        self.path = path

    def members(self):
        """Yields (TarInfo, file or None); the file is to be read before the next member is asked for."""
        try:
            with decompressed(self.path) as stream:
                with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Entry) as archive:
                    for member in archive:
                        archive.members.clear()  # it would keep them all
                        content = archive.extractfile(member) if member.isreg() else None
                        _plain(member)
                        yield member, content
                while stream.read(1 << 20):  # checksums are at the end
                    pass
        except DAMAGES as error:
            raise Fault(f"{self.path}: not a tar, or a damaged one: {error}") from None


def _plain(member):
    """What is kept in pieces in the archive comes out whole."""
    if member.issparse():
        member.type, member.sparse = tarfile.REGTYPE, None
        headers = member.pax_headers.items()
        member.pax_headers = {k: v for k, v in headers if not k.startswith("GNU.sparse.") and k != "size"}


class Directory:
    def __init__(self, path):
        self.path = path

    def members(self):
        inodes = {}
        try:
            for path in self._walk(self.path):
                member = self._member(path, inodes)
                if member is None:
                    say(f"{path}: a socket, left out")
                elif member.isreg():
                    with open(path, "rb") as file:
                        yield member, file
                else:
                    yield member, None
        except OSError as error:
            raise Fault(f"{error.filename or self.path}: {error.strerror}") from None

    def _walk(self, path):
        yield path
        if stat.S_ISDIR(os.lstat(path).st_mode):
            for name in sorted(os.listdir(path)):
                yield from self._walk(os.path.join(path, name))

    def _member(self, path, inodes):
        status = os.lstat(path)
        name = os.path.join(".", os.path.relpath(path, self.path)) if path != self.path else "."
        member = tarfile.TarInfo(name)
        kinds = {
            stat.S_IFREG: tarfile.REGTYPE,
            stat.S_IFDIR: tarfile.DIRTYPE,
            stat.S_IFLNK: tarfile.SYMTYPE,
            stat.S_IFCHR: tarfile.CHRTYPE,
            stat.S_IFBLK: tarfile.BLKTYPE,
            stat.S_IFIFO: tarfile.FIFOTYPE,
        }
        if stat.S_ISSOCK(status.st_mode):
            return None
        member.type = kinds[stat.S_IFMT(status.st_mode)]
        member.mode, member.mtime = stat.S_IMODE(status.st_mode), int(status.st_mtime)
        member.uid, member.gid = status.st_uid, status.st_gid
        first = inodes.setdefault((status.st_dev, status.st_ino), name)
        if member.type == tarfile.DIRTYPE:
            pass
        elif first != name:
            member.type, member.linkname = tarfile.LNKTYPE, first
        elif member.type == tarfile.SYMTYPE:
            member.linkname = os.readlink(path)
        elif member.type in (tarfile.CHRTYPE, tarfile.BLKTYPE):
            member.devmajor, member.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
        elif member.type == tarfile.REGTYPE:
            member.size = status.st_size
        for attribute in os.listxattr(path, follow_symlinks=False) if member.type != tarfile.LNKTYPE else ():
            value = os.getxattr(path, attribute, follow_symlinks=False)
            member.pax_headers[XATTR + attribute] = value.decode("utf-8", "surrogateescape")
        return member


def opened(path):
    if os.path.isdir(path):
        return Directory(path)
    if not os.path.isfile(path):
        raise Fault(f"{path}: neither a directory nor a tar")
    return Tar(path)


class Listing:
    """The paths of a root, with what is needed to follow its links."""

    def __init__(self, root):
        self.entries = {}  # path -> (type, target of a symbolic link)
        self.linked = set()  # paths that other names are hard links to
        self.prefix = ""
        for number, (member, _) in enumerate(root.members()):
            if number == 0 and (member.name == "." or member.name.startswith("./")):
                self.prefix = "./"
            self.entries[normal(member.name)] = (member.type, member.linkname if member.issym() else None)
            if member.islnk():
                self.linked.add(normal(member.linkname))

    def resolve(self, path):
        """The path without symbolic links, as a process in this root would find it; it need not exist."""
        todo, found, links = path.strip("/").split("/"), "/", 0
        while todo:
            name = todo.pop(0)
            if name in ("", "."):
                continue
            if name == "..":
                found = posixpath.dirname(found)
                continue
            here = posixpath.join(found, name)
            kind, target = self.entries.get(here, (None, None))
            if kind == tarfile.SYMTYPE:
                links += 1
                if links > LINKS_MAX:
                    raise Fault(f"{path}: too many symbolic links")
                if target.startswith("/"):
                    found = "/"
                todo = target.split("/") + todo
                continue
            if any(todo) and kind not in (None, tarfile.DIRTYPE):
                raise Fault(f"{here}: not a directory, but {path} would be below it")
            found = here
        return found


class Additions:
    """What is to be added to a root: path -> (TarInfo, content). Replaces what has the same path."""

    def __init__(self, listing):
        self.listing = listing
        self.entries = {}

    def _add(self, path, kind, mode, content=b"", target=""):
        directory, name = posixpath.split(path)
        self._parents(directory)
        path = posixpath.join(self.listing.resolve(directory), name)
        old, _ = self.listing.entries.get(path, (None, None))
        if old == tarfile.DIRTYPE:
            raise Fault(f"{path}: a directory")
        if path in self.listing.linked:
            raise Fault(f"{path}: cannot be replaced, other names are links to it")
        self._put(path, kind, mode, content, target)

    def _put(self, path, kind, mode, content=b"", target=""):
        member = tarfile.TarInfo(self.listing.prefix + path.lstrip("/"))
        member.type, member.mode, member.linkname = kind, mode, target
        member.size, member.mtime = len(content), epoch()
        self.entries[path] = (member, content)
        self.listing.entries[path] = (kind, target or None)

    def _parents(self, path):
        if path != "/":
            self.directory(path)

    def file(self, path, content, mode=0o644):
        self._add(path, tarfile.REGTYPE, mode, content)

    def link(self, path, target):
        self._add(path, tarfile.SYMTYPE, 0o777, target=target)

    def directory(self, path, mode=0o755):
        """One that exists stays as it is; also a symbolic link to one."""
        self._parents(posixpath.dirname(path))
        path = self.listing.resolve(path)
        kind, _ = self.listing.entries.get(path, (None, None))
        if kind is None and path != "/":
            self._parents(posixpath.dirname(path))
            self._put(path, tarfile.DIRTYPE, mode)
        elif kind not in (None, tarfile.DIRTYPE):
            raise Fault(f"{path}: not a directory")

    def members(self):
        for _, (member, content) in sorted(self.entries.items()):
            yield member, io.BytesIO(content) if member.isreg() else None


def merged(root, additions):
    """The members of a root, without those that are replaced, then the additions."""
    for member, content in root.members():
        if normal(member.name) not in additions.entries:
            yield member, content
    yield from additions.members()


def write(members, path):
    """Writes a tar, compressed when its name says so; returns how many members it has."""
    count = 0
    with output(path) as stream:
        with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as archive:
            for member, content in members:
                archive.addfile(member, content)
                archive.members.clear()
                count += 1
    return count


def write_into(directory, additions):
    """Adds to a directory of this machine, as its owner would: no owners are set."""
    try:
        for path, (member, content) in sorted(additions.entries.items()):
            target = directory + path
            if member.isdir():
                os.mkdir(target)
                os.chmod(target, member.mode)
                continue
            partial = f"{target}.partial"
            with contextlib.suppress(FileNotFoundError):
                os.unlink(partial)
            if member.issym():
                os.symlink(member.linkname, partial)
            else:
                with open(partial, "wb") as file:
                    file.write(content)
                os.chmod(partial, member.mode)
            os.replace(partial, target)
    except OSError as error:
        raise Fault(f"{error.filename}: {error.strerror}") from None
