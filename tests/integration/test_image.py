#!/usr/bin/env python3
"""packaging/image on root file systems made by hand: rootfs, and ext4 of any root."""

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile

from support.agent import TOP, agent_program, needs
from support.tap import check, equal, main, scaled, test

IMAGE = os.path.join(TOP, "packaging/image")
# As short as a static program can be: it does not run.
STATIC = (b"\x7fELF\x02\x01\x01" + bytes(57)).ljust(64, b"\0")
XATTR = "SCHILY.xattr.user.bytes"
ADDED = {"dev", "etc/nullspace", "proc", "run", "sbin/nullspace-agent", "sys", "tmp", "workspace"}


def image(case, kind, *arguments, agent=None, **options):
    if agent is None:
        agent = case.path("agent")
        with open(agent, "wb") as file:
            file.write(STATIC)
    command = [sys.executable, IMAGE, kind, "--agent", agent, *arguments]
    environment = dict(os.environ, SOURCE_DATE_EPOCH="0")
    return subprocess.run(
        command, capture_output=True, text=True, timeout=scaled(30), check=False, env=environment, **options
    )


def made(done):
    equal(done.returncode, 0, done.stderr)


def refused(done, text):
    equal((done.returncode, done.stdout), (1, ""))
    lines = done.stderr.splitlines()
    check(len(lines) == 1 and lines[0].startswith("image: ") and text in lines[0], f"{text}: {done.stderr}")


def entry(name, kind=tarfile.REGTYPE, **values):
    member = tarfile.TarInfo(name)
    member.type = kind
    member.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    for key, value in values.items():
        setattr(member, key, value)
    return member


def tar(case, name, *entries, mode="w"):
    """entries: a TarInfo, or one and the content of its file."""
    with tarfile.open(case.path(name), mode, format=tarfile.PAX_FORMAT) as archive:
        for item in entries:
            member, content = item if isinstance(item, tuple) else (item, b"")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return case.path(name)


def members(path):
    """name -> (TarInfo, content)"""
    with tarfile.open(path) as archive:
        found = [(m, archive.extractfile(m).read() if m.isreg() else b"") for m in archive]
    equal(len({m.name for m, _ in found}), len(found), "no name is there twice")
    return {m.name: (m, content) for m, content in found}


# A directory


@test(timeout=60)
def a_directory_gains_the_agent_and_where_pid_1_mounts(case):
    top = case.path("root")
    os.makedirs(f"{top}/sbin")
    os.makedirs(f"{top}/proc", mode=0o711)
    for _ in range(2):
        made(image(case, "rootfs", top))
    with open(f"{top}/sbin/nullspace-agent", "rb") as file:
        equal(file.read(), STATIC)
    modes = {name: os.stat(f"{top}/{name}").st_mode & 0o7777 for name in sorted(ADDED)}
    expected = dict.fromkeys(ADDED, 0o755) | {"sys": 0o555, "tmp": 0o1777, "proc": 0o711}
    equal(modes, dict(sorted(expected.items())))
    equal(sorted(os.listdir(f"{top}/sbin")), ["nullspace-agent"], "not init, which was not asked for")
    made(image(case, "rootfs", "--init", top))
    equal(os.readlink(f"{top}/sbin/init"), "nullspace-agent")


@test(timeout=60)
def links_of_a_root_lead_to_places_in_that_root(case):
    top, outside = case.path("root"), case.path("outside")
    os.makedirs(f"{top}/real")
    os.makedirs(outside)
    os.symlink(outside, f"{top}/sbin")
    os.symlink("../../../../real", f"{top}/etc")
    made(image(case, "rootfs", top))
    equal(os.listdir(outside), [])
    check(os.path.exists(f"{top}{outside}/nullspace-agent"), "below the root, where the link leads in it")
    check(os.path.isdir(f"{top}/real/nullspace"), "no way out by ..")


@test(timeout=60)
def a_directory_becomes_a_tar_with_hard_links_and_attributes(case):
    top = case.path("root")
    os.makedirs(f"{top}/bin")
    with open(f"{top}/bin/a", "wb") as file:
        file.write(b"text")
    os.link(f"{top}/bin/a", f"{top}/bin/b")
    os.symlink("a", f"{top}/bin/c")
    try:
        os.setxattr(f"{top}/bin/a", "user.bytes", b"\xff\0\n=")
        attribute = b"\xff\0\n=".decode("utf-8", "surrogateescape")
    except OSError:
        attribute = None
    made(image(case, "rootfs", top, "-o", case.path("out.tar")))
    found = members(case.path("out.tar"))
    equal((found["./bin/a"][1], found["./bin/a"][0].pax_headers.get(XATTR)), (b"text", attribute))
    equal(found["./bin/b"][0].linkname, "./bin/a")
    equal(found["./bin/c"][0].linkname, "a")
    equal({f"./{name}" for name in ADDED} - set(found), set(), "all is there under names of the same form")
    check(not os.path.exists(f"{top}/sbin"), "the directory is unchanged")


# A tar


def rich_tar(case, name="in.tar", mode="w"):
    return tar(
        case,
        name,
        entry(".", tarfile.DIRTYPE),
        entry("./usr", tarfile.DIRTYPE, mode=0o750, uid=3000000, gid=12, uname="somebody", mtime=1234567890),
        entry("./usr/sbin", tarfile.DIRTYPE),
        entry("./sbin", tarfile.SYMTYPE, linkname="usr/sbin"),
        (entry("./usr/file", mode=0o4711, uid=7, pax_headers={XATTR: "\udcff\0x"}), b"content"),
        entry("./usr/again", tarfile.LNKTYPE, linkname="./usr/file"),
        entry("./null", tarfile.CHRTYPE, devmajor=1, devminor=3),
        entry("./fifo", tarfile.FIFOTYPE),
        (entry("./long/" + "n" * 200 + "/\udcff"), b"x"),
        (entry("./usr/sbin/nullspace-agent"), b"an older one"),
        mode=mode,
    )


@test(timeout=60)
def a_tar_keeps_what_it_has(case):
    made(image(case, "rootfs", "--init", rich_tar(case), "-o", case.path("out.tar")))
    before, after = members(case.path("in.tar")), members(case.path("out.tar"))
    for name, (member, content) in before.items():
        if name.endswith("agent"):
            continue
        equal(after[name][0].get_info(), member.get_info(), name)
        equal(after[name][0].pax_headers, member.pax_headers, name)
        equal(after[name][1], content, name)
    agent, content = after["./usr/sbin/nullspace-agent"]
    equal((content, agent.mode, agent.uid), (STATIC, 0o755, 0), "/sbin is a link")
    equal(after["./usr/sbin/init"][0].linkname, "nullspace-agent")
    added = {"./etc", "./etc/nullspace", "./usr/sbin/init", *(f"./{n}" for n in ("dev", "proc", "run", "sys", "tmp"))}
    equal(set(after) - set(before), {*added, "./workspace"})


@test(timeout=60)
def tars_are_read_and_written_compressed_and_always_the_same(case):
    suffixes = ["tar", "tar.gz", "tar.xz"] + (["tar.zst"] if shutil.which("zstd") else [])
    rich_tar(case)
    rich_tar(case, "in.tar.gz", "w:gz")
    rich_tar(case, "in.tar.xz", "w:xz")
    if "tar.zst" in suffixes:
        subprocess.run(["zstd", "-q", case.path("in.tar"), "-o", case.path("in.tar.zst")], check=True)
    results = {}
    for suffix in suffixes:
        for source in suffixes:
            out = case.path(f"out.{suffix}")
            made(image(case, "rootfs", case.path(f"in.{source}"), "-o", out))
            with open(out, "rb") as file:
                results.setdefault(suffix, set()).add(file.read())
    equal({suffix: len(contents) for suffix, contents in results.items()}, dict.fromkeys(suffixes, 1))
    (gz,), (plain,) = results["tar.gz"], results["tar"]
    check(len(gz) < len(plain) / 4, "compressed")
    made(image(case, "rootfs", case.path("out.tar.gz"), "-o", case.path("again.tar")))
    equal(set(members(case.path("again.tar"))), set(members(case.path("out.tar"))), "adding it again adds nothing")


# What is refused


@test(timeout=60)
def input_that_makes_no_root_is_refused_in_one_line(case):
    out = case.path("out.tar")
    with open(case.path("text"), "w", encoding="ascii") as file:
        file.write("no tar, and long enough to be one header of it\n" * 30)
    os.makedirs(case.path("root/sbin/nullspace-agent"))
    directory, file_kind = tarfile.DIRTYPE, tarfile.REGTYPE
    broken = (
        ("nowhere", ["/nowhere", "-o", out], "neither a directory nor a tar"),
        ("text", [case.path("text"), "-o", out], "not a tar"),
        ("in place", [tar(case, "a.tar", entry("a"))], "-o is needed"),
        ("way out", [tar(case, "b.tar", entry("../a")), "-o", out], "leads out of the root"),
        ("a file /proc", [tar(case, "c.tar", entry("proc", file_kind)), "-o", out], "/proc: not a directory"),
        ("a file /etc", [tar(case, "d.tar", entry("etc", file_kind)), "-o", out], "/etc: not a directory"),
        ("agent", [tar(case, "e.tar", entry("sbin/nullspace-agent", directory)), "-o", out], "a directory"),
        ("loop", [tar(case, "f.tar", entry("sbin", tarfile.SYMTYPE, linkname="sbin")), "-o", out], "too many"),
        ("itself", [case.path("root"), "-o", case.path("root/out.tar")], "within the root"),
        ("directory", [case.path("root")], "/sbin/nullspace-agent: a directory"),
        ("target", [tar(case, "g.tar", entry("a")), "-o", case.path("no/out.tar")], "No such file"),
    )
    for _, arguments, text in broken:
        refused(image(case, "rootfs", *arguments), text)
    linked = entry("sbin/nullspace-agent"), entry("b", tarfile.LNKTYPE, linkname="sbin/nullspace-agent")
    refused(image(case, "rootfs", tar(case, "h.tar", *linked), "-o", out), "other names are links to it")
    root = tar(case, "i.tar", entry("a"))
    for agent, text in (("/nowhere", "No such file"), (case.path("text"), "not a program")):
        refused(image(case, "rootfs", root, "-o", out, agent=agent), text)
    check(not [name for name in os.listdir(case.directory) if "out" in name or "partial" in name], "nothing is left")


@test(timeout=60)
def a_damaged_tar_is_refused_wherever_it_ends(case):
    for name, mode in (("in.tar", "w"), ("in.tar.gz", "w:gz"), ("in.tar.xz", "w:xz")):
        with open(rich_tar(case, name, mode), "rb") as file:
            whole = file.read()
        sizes = [512, 1024, 1500, 2560, 5120] if mode == "w" else [0, 30, len(whole) // 2, len(whole) - 4]
        for size in sizes:
            with open(case.path(name), "wb") as file:
                file.write(whole[:size])
            refused(image(case, "rootfs", case.path(name), "-o", case.path("out.tar")), "not a tar, or a damaged one")
    with open(rich_tar(case), "r+b") as file:
        file.seek(512 + 20)  # in the second header
        file.write(b"!")
    refused(image(case, "rootfs", case.path("in.tar"), "-o", case.path("out.tar")), "damaged")


@test(timeout=60)
def a_configuration_is_taken_only_when_the_agent_would(case):
    texts = {"good": {"hostname": "box"}, "unknown": {"such_a_key": 1}}
    for name, value in texts.items():
        with open(case.path(name), "w", encoding="ascii") as file:
            json.dump(value, file)
    with open(case.path("broken"), "w", encoding="ascii") as file:
        file.write('{"hostname": ')
    root, out = tar(case, "in.tar", entry("a")), case.path("out.tar")
    refused(image(case, "rootfs", root, "-o", out, "--config", case.path("broken")), "broken: ")
    refused(image(case, "rootfs", root, "-o", out, "--config", "/nowhere"), "No such file")
    done = image(case, "rootfs", root, "-o", out, "--config", case.path("good"))
    made(done)
    check("not checked" in done.stderr, "by an agent that does not run here")
    equal(members(out)["etc/nullspace/agent.json"][1], b'{"hostname": "box"}')
    check_by_agent(case, root, out)


def check_by_agent(case, root, out):
    agent = agent_program()
    done = image(case, "rootfs", root, "-o", out, agent=agent)
    needs("not a static program" not in done.stderr, "this agent is not static")
    refused(image(case, "rootfs", root, "-o", out, "--config", case.path("unknown"), agent=agent), "such_a_key")
    made(image(case, "rootfs", root, "-o", out, "--config", case.path("good"), agent=agent))


# ext4


def debugfs(path, command):
    done = subprocess.run(["debugfs", "-R", command, path], capture_output=True, text=True, timeout=20, check=True)
    return done.stdout


@test(timeout=60)
def a_disk_of_any_root_has_its_owners_devices_and_attributes(case):
    needs(shutil.which("debugfs", path=f"{os.environ['PATH']}:/usr/sbin:/sbin"), "there is no debugfs")
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    path = case.path("out.ext4")
    arguments = ["--root", rich_tar(case), "--size", "16"]
    made(image(case, "ext4", *arguments, "-o", path))
    equal(os.path.getsize(path), 16 << 20)
    checked = subprocess.run(["e2fsck", "-fn", path], capture_output=True, text=True, timeout=20, check=False)
    equal(checked.returncode, 0, checked.stdout)
    for name, expected in {
        "/usr": ("Type: directory", "Mode:  0750", "User: 3000000", "Group:    12"),
        "/usr/file": ("Mode:  04711", "User:     7", "Links: 2", "mtime: 0x00000000"),
        "/null": ("Type: character special", "01:03"),
        "/fifo": ("Type: FIFO",),
        "/sbin/init": ('Fast link dest: "nullspace-agent"',),
        "/sbin/nullspace-agent": ("Mode:  0755", "User:     0", "Size: 64", "ctime: 0x00000000"),
    }.items():
        text = debugfs(path, f"stat {name}")
        for part in expected:
            check(part in text, f"{name} has {part}: {text}")
    check("user.bytes (3) = ff 00 78" in debugfs(path, "ea_list /usr/file"), "the attribute")
    made(image(case, "ext4", *arguments, "-o", case.path("again.ext4"), umask=0o77))
    equal(subprocess.run(["cmp", path, case.path("again.ext4")], check=False).returncode, 0, "the same bytes")
    made(image(case, "ext4", *arguments, "--uuid", "11111111-2222-3333-4444-555555555555", "-o", path))
    check("11111111-2222-3333-4444-555555555555" in debugfs(path, "stats"), "the wanted UUID")


@test(timeout=60)
def a_disk_that_cannot_be_made_is_refused(case):
    needs(shutil.which("debugfs", path=f"{os.environ['PATH']}:/usr/sbin:/sbin"), "there is no debugfs")
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    out = ["-o", case.path("out.ext4")]
    big = tar(case, "a.tar", (entry("file"), os.urandom(4 << 20)))
    below = tar(case, "b.tar", entry("a"), entry("a/b"))
    dangling = tar(case, "c.tar", entry("a", tarfile.LNKTYPE, linkname="b"))
    done = image(case, "ext4", "--root", big, "--size", "2", *out)
    check(done.returncode == 1 and "mke2fs" in done.stderr, f"no room: {done}")
    for root, text in ((below, "not a directory"), (dangling, "not there")):
        done = image(case, "ext4", "--root", root, *out)
        check(done.returncode == 1 and text in done.stderr.splitlines()[-1], f"{text}: {done}")
    for arguments, text in (
        (["--suite", "../x"], "not the name of a suite"),
        (["--include", "a;b"], "not the name of a package"),
        (["--root", "/nowhere"], "neither a directory nor a tar"),
    ):
        refused(image(case, "ext4", *arguments, *out), text)
    check(not [name for name in os.listdir(case.directory) if "out" in name], "nothing is left")


if __name__ == "__main__":
    main()
