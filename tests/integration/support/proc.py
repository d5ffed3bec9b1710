"""What /proc tells about processes."""

import os


def _read(path):
    with open(path, "rb") as file:
        return file.read()


def status(pid):
    """The fields of /proc/PID/status; empty when the process is gone."""
    try:
        text = _read(f"/proc/{pid}/status").decode()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def stat(pid):
    """(state, parent, start time in ticks), or None when the process is gone."""
    try:
        text = _read(f"/proc/{pid}/stat").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return fields[0], int(fields[1]), int(fields[19])


def children(pid):
    """Pids of the children, zombies too."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            about = stat(int(entry))
            if about and about[1] == pid:
                found.append(int(entry))
    return found


def zombies(pid):
    return [child for child in children(pid) if (stat(child) or ("", 0))[0] == "Z"]


def is_running(pid):
    about = stat(pid)
    return bool(about) and about[0] not in "ZX"


def executable(pid):
    """What /proc/PID/exe names; None for a zombie or a process that is gone."""
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return None


def output_of(pid):
    """What its standard output is; None when that cannot be told."""
    try:
        return os.readlink(f"/proc/{pid}/fd/1")
    except OSError:
        return None


def arguments(pid):
    try:
        return _read(f"/proc/{pid}/cmdline").split(b"\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        return []


def descriptors(pid):
    """{number: what it is}."""
    found = {}
    try:
        numbers = os.listdir(f"/proc/{pid}/fd")
    except (FileNotFoundError, ProcessLookupError):
        return found
    for number in numbers:
        try:
            found[int(number)] = os.readlink(f"/proc/{pid}/fd/{number}")
        except OSError:
            continue
    return found


def pss_kib(pid):
    """Proportional memory of a process, without what is only mapped from files: the program's own pages
    are shared with other agents that run at the same time, and our part grows when those end."""
    total = 0
    for line in _read(f"/proc/{pid}/smaps_rollup").decode().splitlines():
        if line.startswith(("Pss_Anon:", "Pss_Shmem:")):
            total += int(line.split()[1])
    return total


def private_kib(pid):
    """Anonymous private memory: what the process itself has allocated."""
    for line in _read(f"/proc/{pid}/smaps_rollup").decode().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1])
    return 0


def switches(pid):
    """How often it slept and woke, over all its threads."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        fields = status(f"{pid}/task/{task}")
        total += int(fields["voluntary_ctxt_switches"]) + int(fields["nonvoluntary_ctxt_switches"])
    return total
