"""A small Debian, from the packages of the mirror that this machine's apt uses.

debootstrap(8) does the work, and is the only part that needs root. What it makes is cleaned of all that
belongs to one run or to one machine, and kept as a tar: a second image of the same kind needs no
network.
"""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile

from images import root
from images.common import TOP, Fault, epoch, run, say

# Caches, logs, and what names one machine: all that is below, all files that are below, single files.
EMPTIED = ("dev", "run", "tmp", "var/tmp")
WITHOUT_FILES = ("var/cache/apt", "var/lib/apt/lists", "var/log")
REMOVED = (
    "etc/.pwd.lock",
    "etc/group-",
    "etc/gshadow-",
    "etc/hostname",
    "etc/passwd-",
    "etc/resolv.conf",
    "etc/shadow-",
    "etc/subgid-",
    "etc/subuid-",
    "var/cache/debconf/config.dat-old",
    "var/cache/debconf/passwords.dat",
    "var/cache/debconf/templates.dat-old",
    "var/cache/ldconfig/aux-cache",
    "var/lib/dbus/machine-id",
    "var/lib/dpkg/lock",
    "var/lib/dpkg/status-old",
    "var/lib/dpkg/diversions-old",
    "var/lib/dpkg/statoverride-old",
    "var/lib/systemd/random-seed",
)
SECONDS_A_DAY = 86400


def cache_directory():
    return os.environ.get("NSP_VM_DIR") or os.path.join(TOP, "build/vm")


def mirror(suite):
    """Where apt gets Debian's packages from; a suite that apt does not use is in the same place."""
    form = ["apt-get", "indextargets", "--format", "$(CODENAME) $(REPO_URI)"]
    lines = run([*form, "Created-By: Packages", "Origin: Debian", "Component: main"]).decode().splitlines()
    places = [line.split(None, 1) for line in lines]
    for codename, place in places:
        if codename == suite:
            return place
    for codename, place in places:
        if "-" not in codename:
            return place
    raise Fault("apt knows no source of Debian's packages (apt-get update)")


def template(options):
    """The path of a tar with the suite and those packages; made when it is not there yet."""
    packages = sorted(filter(None, re.split(r"[\s,]+", options.include)))
    if not re.fullmatch(r"[a-z]+", options.suite):
        raise Fault(f"{options.suite}: not the name of a suite")
    for name in packages:
        if not re.fullmatch(r"[a-z0-9][a-z0-9.+-]+", name):
            raise Fault(f"{name}: not the name of a package")
    kind = hashlib.sha256(" ".join(packages).encode()).hexdigest()[:12] if packages else "minimal"
    path = os.path.join(cache_directory(), f"template-{options.suite}-{kind}-{epoch()}.tar")
    if os.path.exists(path):
        say(f"taking {path}; remove it to get newer packages")
        return path
    if not shutil.which("debootstrap"):
        raise Fault("there is no debootstrap (packaging/install-dependencies --vm)")
    if os.geteuid() != 0:
        raise Fault("debootstrap needs root, or --root names a root that exists")
    os.makedirs(cache_directory(), exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".template.", dir=cache_directory()) as scratch:
        directory = os.path.join(scratch, "root")
        _bootstrap(directory, options.suite, packages)
        _clean(directory)
        root.write(_clamped(root.Directory(directory)), path)
    return path


def _bootstrap(directory, suite, packages):
    command = ["debootstrap", "--variant=minbase", "--force-check-gpg"]
    if packages:
        command.append("--include=" + ",".join(packages))
    environment = dict(os.environ, SOURCE_DATE_EPOCH=str(epoch()), LC_ALL="C", DEBIAN_FRONTEND="noninteractive")
    process = subprocess.Popen(
        [*command, suite, directory, mirror(suite)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        text=True,
        errors="replace",
    )
    last = ""
    with process:
        for line in process.stdout:
            last = line.strip()
            if not re.match(r"I: (Validating|Retrieving [^IP])", last):
                say(re.sub(r"^[IW]: ", "", last))
    if process.returncode != 0:
        raise Fault(f"debootstrap: {last}")


def _clean(directory):
    for name in EMPTIED:
        place = os.path.join(directory, name)
        for entry in os.scandir(place):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)
    for name in WITHOUT_FILES:
        for place, _, files in os.walk(os.path.join(directory, name)):
            for file in files:
                os.unlink(os.path.join(place, file))
    for name in REMOVED:
        path = os.path.join(directory, name)
        if os.path.lexists(path):
            os.unlink(path)
    # An empty one is filled at the first boot.
    with open(os.path.join(directory, "etc/machine-id"), "w", encoding="ascii"):
        pass
    _set_password_day(os.path.join(directory, "etc/shadow"))


def _set_password_day(path):
    """The day of the last change of the passwords, which is the day of the installation."""
    day = str(epoch() // SECONDS_A_DAY or "")
    with open(path, encoding="ascii") as file:
        rows = [line.split(":") for line in file]
    with open(path, "w", encoding="ascii") as file:
        file.writelines(":".join([*row[:2], day, *row[3:]]) for row in rows)


def _clamped(source):
    time = epoch()
    for member, content in source.members():
        member.mtime = min(member.mtime, time)
        yield member, content
