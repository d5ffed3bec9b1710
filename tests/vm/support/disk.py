"""Disk images for guests, made without mounting anything."""

import os
import shutil
import subprocess

from support.guest import tap

MIB = 1 << 20
BUSYBOX = "/bin/busybox"
# Where the supervisor moves what it has mounted.
PLACES = ("dev", "proc", "run", "sys")
USUAL = ("bin", "sbin", "usr/bin", "usr/sbin", "etc", "root", "tmp", "workspace")


def run(*command):
    """Its output. Raises Failure when it fails, and Skip when there is no such program."""
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    if not shutil.which(command[0], path=path):
        raise tap.Skip(f"there is no {command[0]} (packaging/install-dependencies --vm)")
    environment = dict(os.environ, PATH=path)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, env=environment, check=False)
    tap.equal(done.returncode, 0, f"{command}: {(done.stdout + done.stderr).decode(errors='replace')}")
    return done.stdout.decode(errors="replace")


def tree(directory, places=PLACES, **files):
    """A root directory with busybox and no agent. files: NAME="text" is put into /etc/NAME."""
    for name in (*USUAL, *places):
        os.makedirs(os.path.join(directory, name))
    shutil.copy(BUSYBOX, os.path.join(directory, "bin/busybox"))
    for path in run(BUSYBOX, "--list-full").split():
        link = os.path.join(directory, path)
        if not os.path.lexists(link):
            os.makedirs(os.path.dirname(link), exist_ok=True)
            os.symlink("/bin/busybox", link)
    for name, text in files.items():
        with open(os.path.join(directory, "etc", name), "w", encoding="ascii") as file:
            file.write(text)
    return directory


def blank(path, mib):
    with open(path, "wb") as file:
        file.truncate(mib * MIB)
    return path


def ext4(path, mib, device_mib=None, directory=None):
    """An image with a file system of mib; device_mib: the image is larger than that."""
    blank(path, device_mib or mib)
    content = ["-d", directory] if directory else []
    run("mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", *content, path, f"{mib}M")
    return path


def squashfs(path, directory):
    run("mksquashfs", directory, path, "-quiet", "-no-progress", "-all-root", "-comp", "gzip")
    return path
