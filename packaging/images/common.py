"""What all kinds of images share: faults, files, programs, compression."""

import contextlib
import gzip
import json
import lzma
import os
import shutil
import struct
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
AGENT_PATH = "/sbin/nullspace-agent"
BLOCK = 1 << 20
PT_INTERP = 3
EMULATORS = {62: "qemu-x86_64-static", 183: "qemu-aarch64-static"}  # e_machine


class Fault(Exception):
    """What is wrong with the input, in one line."""


def say(text):
    print(f"image: {text}", file=sys.stderr, flush=True)


def epoch():
    """The time of everything in an image."""
    text = os.environ.get("SOURCE_DATE_EPOCH") or "0"
    if not text.isdecimal():
        raise Fault(f"SOURCE_DATE_EPOCH is {text}, not a number of seconds")
    return int(text)


def run(command, data=None, **options):
    """Runs a program that is part of the work; returns what it writes."""
    try:
        done = subprocess.run(command, input=data, capture_output=True, check=False, **options)
    except OSError as error:
        raise Fault(f"{command[0]}: {error.strerror}") from None
    if done.returncode != 0:
        reason = done.stderr.decode(errors="replace").strip() or f"status {done.returncode}"
        raise Fault(f"{command[0]}: {reason}")
    return done.stdout


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise Fault(f"{path}: {error.strerror}") from None


def read_lines(path):
    return read(path).decode().splitlines()


def static_program(path):
    """Its content. The image may have nothing that a dynamic program would need."""
    content = read(path)
    if content[:5] != b"\x7fELF\x02" or len(content) < 64:
        raise Fault(f"{path}: not a program for 64 bits")
    start, size, count = struct.unpack_from("<32xQ14xHH", content)
    if len(content) < start + size * count:
        raise Fault(f"{path}: not a whole program")
    kinds = [struct.unpack_from("<I", content, start + number * size)[0] for number in range(count)]
    if PT_INTERP in kinds:
        raise Fault(f"{path}: not a static program")
    return content


def machine_of(program):
    """What the content of a program was compiled for: a number of ELF (e_machine)."""
    return struct.unpack_from("<18xH", program)[0]


def run_static(path, *arguments):
    """As run(), for a static program that may be one of another machine: then qemu-user runs it."""
    machine = machine_of(static_program(path))
    if machine == machine_of(read("/proc/self/exe")):
        return run([path, *arguments])
    emulator = EMULATORS.get(machine)
    if not emulator or not shutil.which(emulator):
        raise Fault(f"{path}: for another machine, and there is no {emulator or 'emulator'} to ask it")
    return run([emulator, path, *arguments])


def configuration(agent, path):
    """The content of a configuration file that the agent accepts; an agent for another machine is not
    asked."""
    content = read(path)
    try:
        json.loads(content)
    except ValueError as error:
        raise Fault(f"{path}: {error}") from None
    try:
        done = subprocess.run([agent, "check-config", path], capture_output=True, text=True, check=False)
    except OSError:
        say(f"{path}: not checked, since {agent} does not run here")
        return content
    if done.returncode != 0:
        raise Fault(" ".join(done.stderr.split()) or f"{path}: refused by {agent}")
    return content


# Compression

GZIP, XZ, ZSTD, BZIP2 = b"\x1f\x8b", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"BZh"


@contextlib.contextmanager
def _pipe(command, **files):
    """A program that decompresses or compresses; it must end well."""
    try:
        process = subprocess.Popen(command, stderr=subprocess.PIPE, **files)
    except OSError as error:
        raise Fault(f"{command[0]}: {error.strerror}") from None
    try:
        yield process
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()
        reason = process.stderr.read().decode(errors="replace").strip()
        if process.wait() != 0:
            raise Fault(f"{command[0]}: {reason or 'failed'}")
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@contextlib.contextmanager
def decompressed(path):
    """A file as it was before its compression, to be read in one go up to its end."""
    try:
        file = open(path, "rb")
    except OSError as error:
        raise Fault(f"{path}: {error.strerror}") from None
    with file:
        magic = file.read(8)
        file.seek(0)
        if magic.startswith(GZIP):
            yield gzip.GzipFile(fileobj=file)
        elif magic.startswith(XZ):
            yield lzma.LZMAFile(file)
        elif magic.startswith(ZSTD):
            os.lseek(file.fileno(), 0, os.SEEK_SET)  # its own seek stays within its buffer
            with _pipe(["zstd", "-dcq"], stdin=file, stdout=subprocess.PIPE) as process:
                yield process.stdout
        elif magic.startswith(BZIP2):
            raise Fault(f"{path}: compressed by bzip2; gzip, xz and zstd are known")
        else:
            yield file


@contextlib.contextmanager
def _compressed(file, name):
    if name.endswith((".gz", ".tgz")):
        with gzip.GzipFile("", "wb", 6, file, mtime=0) as stream:
            yield stream
    elif name.endswith(".xz"):
        with lzma.LZMAFile(file, "wb", preset=6) as stream:
            yield stream
    elif name.endswith(".zst"):
        with _pipe(["zstd", "-cq", "-10", "-T1"], stdin=subprocess.PIPE, stdout=file) as process:
            yield process.stdin
    else:
        yield file


@contextlib.contextmanager
def output_path(path):
    """The name of a file to be made, which becomes PATH when it is complete."""
    partial = f"{path}.partial"
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise Fault(f"{error.filename or path}: {error.strerror}") from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)


@contextlib.contextmanager
def output(path):
    """A file that has its name only when it is complete; compressed when the name says so."""
    with output_path(path) as partial, open(partial, "wb") as file, _compressed(file, path) as stream:
        yield stream


def copy(source, target):
    while block := source.read(BLOCK):
        target.write(block)
