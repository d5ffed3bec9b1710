"""The plan of a build with fault injection: which calls of the agent or its supervisor fail.

The program maps the file, so a plan holds from the moment it is armed, for the next agent too. See
tests/support/fault.h.
"""

import errno
import mmap
import os
import re
import struct

from support.agent import TOP, agent_program

SUPERVISOR, AGENT = 1, 2
SHORT = 0  # in the place of an errno: fewer bytes than asked for
DIE_BEFORE, DIE_AFTER = -1, -2  # likewise: SIGKILL at this call
LAYOUT = struct.Struct("<IIiIQQQQQ")
KINDS_AT, SEEN_AT, FAILED_AT = 0, 40, 48

with open(os.path.join(TOP, "tests/support/fault.h"), encoding="utf-8") as header:
    KINDS = {name: 1 << int(bit) for name, bit in re.findall(r"FAULT_(\w+) = 1 << (\d+)", header.read())}
KINDS["ANY"] = sum(KINDS.values()) - KINDS["ALLOC"]  # every system call


def is_built_in():
    """False for a program without fault injection."""
    with open(agent_program(), "rb") as file:
        return b"NSP_FAULT_PLAN" in file.read()


def name_of(error):
    special = {SHORT: "SHORT", DIE_BEFORE: "DIE_BEFORE", DIE_AFTER: "DIE_AFTER"}
    return special.get(error) or errno.errorcode[error]


class Plan:
    def __init__(self, case):
        self.path = case.path("plan")
        with open(self.path, "w+b") as file:
            file.truncate(LAYOUT.size)
            self.memory = mmap.mmap(file.fileno(), LAYOUT.size)
        case.defer(self.memory.close)

    @property
    def environment(self):
        return {"NSP_FAULT_PLAN": self.path}

    def arm(self, kind, error, first, every=1, count=1, role=AGENT):
        """Calls number first, first + every, ... fail, at most count of them (0: all)."""
        self.disarm()
        plan = LAYOUT.pack(0, role, error, 0, first, every, count, 0, 0)
        self.memory[4:] = plan[4:]
        struct.pack_into("<I", self.memory, KINDS_AT, KINDS[kind])

    def disarm(self):
        struct.pack_into("<I", self.memory, KINDS_AT, 0)

    @property
    def seen(self):
        return struct.unpack_from("<Q", self.memory, SEEN_AT)[0]

    @property
    def failed(self):
        return struct.unpack_from("<Q", self.memory, FAILED_AT)[0]
