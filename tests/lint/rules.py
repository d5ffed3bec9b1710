"""The house rules that a program can check.

A rule is a function of a Tree that yields what breaks it, as "file:line: what". Its first doc line
is its name in the test output. It raises Skip when it cannot be checked here.
"""

import concurrent.futures
import os
import re
import shlex
import subprocess

# The include law: a folder may include its own files and those of lower ranks.
RANKS = {
    "protocol": 0,
    "agent/base": 1,
    "agent/os": 2,
    "agent/handover": 3,
    "agent/machine": 4,
    "agent/netlink": 5,
    "agent/files": 6,
    "agent/archive": 7,
    "agent/loop": 8,
    "agent/worker": 9,
    "agent/process": 10,
    "agent/transport": 11,
    "agent/session": 12,
    "agent/rpc": 13,
    "agent/schema": 14,
    "agent/network": 15,
    "agent/services": 16,
    "agent/boot": 16,
}
# Outside the ranks: exactly these, and themselves.
MAY_INCLUDE = {
    "init": ("protocol", "agent/base", "agent/os", "agent/handover", "agent/machine"),
    "client": ("protocol",),
}
# Their files do not include each other, but for those of one area (process.c, process_wait.c), nor
# these.
LEAVES = ("agent/services", "agent/boot")
NOT_FOR_LEAVES = ("agent/transport",)
# An area that the others of its folder read.
SHARED_AREAS = ("agent/boot/config", "agent/boot/options")
# An area that brings the others of its folder together.
COLLECTING_AREAS = ("agent/boot/steps",)
# Wiring: includes everything, included by nothing else.
WIRING = ("agent/main", "agent/methods", "agent/program")
# Made by configure.
GENERATED = ("config.h",)

# Header: the files or folders that may include it.
THIRD_PARTY = {
    r"event2/|event\.h|evutil\.h": ("agent/loop/",),
    r"(cjson/)?cJSON\.h": ("agent/rpc/json.c", "client/json.c"),
    r"archive(_entry)?\.h": ("agent/archive/",),
    r"zstd": ("agent/archive/codec.c",),
    r"seccomp\.h": ("agent/os/seccomp.c",),
    r"nettle/|xxhash\.h": ("agent/base/hash.c",),
    r"check\.h": ("tests/",),
}

# Extern symbols that do not start with their file's name.
OTHER_PREFIXES = {
    "agent/loop/loop.c": ("io", "timer"),
    "protocol/channel.c": ("nsp_send_half", "nsp_recv_half"),
    "protocol/error.c": ("nsp_fail", "nsp_errno"),
    "protocol/frame.c": ("nsp_preface",),
}
# Files that define libc's names on purpose.
FOREIGN_NAMES = ("agent/loop/resolver_stubs.c",)

# Makefile.am names their files by their stems.
WORD_FOLDERS = ("tests/unit", "tests/fuzz", "tests/integration", "tests/vm", "tests/bench")

# What a manual page must name: page, what it is, file, where the table begins, its rows, and how the
# page writes one.
STEP = r'^    \{"([\w-]+)", (?:NULL|step_\w+),'
OPTION = r'^    [A-Z]+\([^"\n]+, "([\w-]+)",'
TAG = r'^\.(?:B|BI|BR) (?:[^\n]*[ "])?{}(?:[ "]|$)'
MANUALS = (
    ("nullspace-agent.8", "key", "init/boot.c", r"\bkeys\[\] = ", r'"([\w.]+)"', r"^\.BI {}="),
    ("nullspace-agent.8", "step", "init/boot.c", r"\bsteps\[\] = ", STEP, TAG),
    ("nullspace-agent.8", "step", "agent/boot/steps.c", r"\btable\[\] = ", STEP, TAG),
    ("nsctl.1", "command", "client/nsctl.c", r"\bnsctl_commands\[\] = ", r'^    \{"(\w+)",', TAG),
    ("nsctl.1", "option", "client/nsctl.c", r"\bnsctl_option \w+\[\] = ", OPTION, r"--{}(?![\w-])"),
)

FILE_LINES = 600
COLUMNS = 100
FUNCTION_LINES = 80
COMPLEXITY = 15
INIT_LINES = 1500

# (pattern, where it is allowed, why not)
BANNED = (
    (r"\bv?sprintf\s*\(", (), "has no bound; use snprintf"),
    (r"\bstr(?:cpy|cat)\s*\(|\bst[rp]cpy\s*\(|\bgets\s*\(", (), "has no bound"),
    (r"\b(?:system|popen)\s*\(", (), "starts a shell"),
    (r"\bstrtok\s*\(", (), "keeps hidden state"),
    (
        r"(?<![.>\w])(?:waitpid|wait3?|wait4|waitid)\s*\(|\b(?:SYS|__NR)_(?:waitid|wait4)\b",
        ("init/", "tests/"),
        "only the supervisor reaps",
    ),
    (r"\bEVENT_BASE_FLAG_EPOLL_USE_CHANGELIST\b", (), "loses events when the fd store holds a copy"),
    (r"\bCLONE_VFORK\b|\bvfork\s*\(", ("tests/",), "suspends the loop until execve"),
    (
        r"\b(?:get(?:pw|gr)(?:nam|uid|gid|ent)(?:_r)?|getgrouplist|initgroups|dlopen)\s*\(",
        ("tests/",),
        "needs NSS or shared objects at run time",
    ),
    (
        r"\b(?:getaddrinfo|getnameinfo|gethostby\w+|getserv\w+|getproto\w+)\s*\(",
        FOREIGN_NAMES + ("tests/",),
        "needs NSS at run time; addresses are numeric",
    ),
    (
        r"(?<![.>\w])(?:exit|abort)\s*\(",
        ("agent/main.c", "init/", "client/nsctl", "tests/"),
        "only main and the supervisor end the process",
    ),
    (r"\btypedef\s+(?:struct|union|enum)\b", (), "hides what it is; write struct foo"),
)


class Skip(Exception):
    """The rule cannot be checked here; the text says why."""


def allowed(path, where):
    return path.startswith(tuple(where)) if where else False


def folder_of(path):
    """The folder of the law that a path belongs to; None for tests and wiring."""
    folder = os.path.dirname(path)
    while folder and folder not in RANKS and folder not in MAY_INCLUDE:
        folder = os.path.dirname(folder)
    return folder or None


def area_of(path):
    """agent/services/process for agent/services/process_wait.c"""
    return os.path.splitext(path)[0].split("_")[0]


def layer_error(source, target):
    own, other = folder_of(source.path), folder_of(target)
    stem = os.path.splitext(target)[0]
    if stem in WIRING:
        return None if os.path.splitext(source.path)[0] in WIRING else "nothing includes the wiring"
    if own is None or other is None:
        return None
    is_shared = own == other and (area_of(target) in SHARED_AREAS or area_of(source.path) in COLLECTING_AREAS)
    if own in LEAVES and other in LEAVES and area_of(source.path) != area_of(target) and not is_shared:
        return f"areas of {own} do not include each other"
    if own in LEAVES and other in NOT_FOR_LEAVES:
        return f"{own} does not know {other}"
    if own == other:
        return None
    if own in MAY_INCLUDE:
        return None if other in MAY_INCLUDE[own] else f"{own} may include {', '.join(MAY_INCLUDE[own])} only"
    if other in MAY_INCLUDE:
        return f"{own} may not include {other}"
    if RANKS[own] <= RANKS[other]:
        return f"{own} (rank {RANKS[own]}) may not include {other} (rank {RANKS[other]})"
    return None


def layers(tree):
    """includes follow the layers"""
    for source in tree.c_sources:
        if source.path.startswith("tests/"):
            continue
        for line, quote, path in source.includes():
            if quote != '"' or path in GENERATED:
                continue
            if not os.path.exists(os.path.join(tree.top, path)):
                yield f'{source.path}:{line}: "{path}" is not a path from the top of the tree'
            elif path.endswith(".c"):
                yield f"{source.path}:{line}: includes a .c file"
            else:
                error = layer_error(source, path)
                if error:
                    yield f'{source.path}:{line}: "{path}": {error}'


def third_party(tree):
    """each third-party library belongs to one place"""
    for source in tree.c_sources:
        if source.path.startswith("tests/"):
            continue
        for line, _, path in source.includes():
            for pattern, where in THIRD_PARTY.items():
                if re.match(pattern, path) and not allowed(source.path, where):
                    yield f"{source.path}:{line}: <{path}> belongs to {', '.join(where)}"


def defined_symbols(tree, objects):
    """(object path without suffix, symbol) of every extern definition."""
    command = shlex.split(os.environ.get("NM") or "nm") + ["-A", "-P", "-g", "--defined-only"] + objects
    output = subprocess.run(command, cwd=tree.build, check=True, capture_output=True, text=True).stdout
    for line in output.splitlines():
        name, symbol = re.match(r"(.*?\.o):? (\S+) ", line).groups()
        yield name, symbol


def symbols(tree):
    """extern symbols start with their file's name"""
    objects = {}
    for source in tree.under("protocol", "agent", "init", "client"):
        path = f"{source.folder}/{source.stem}.o"
        if source.kind == ".c" and os.path.exists(os.path.join(tree.build or "", path)):
            objects[path] = source
    if not tree.build or not objects:
        raise Skip("nothing is built")
    for path, symbol in defined_symbols(tree, list(objects)):
        source = objects[path]
        # Compilers and sanitizers use the reserved names.
        if symbol.startswith("_") or source.path in FOREIGN_NAMES or symbol == "main":
            continue
        prefixes = [source.stem]
        if source.path.startswith(("protocol/", "client/")):
            prefixes = ["nsp_" + source.stem]
        if source.stem.startswith("nsctl"):
            prefixes.append(source.stem)
        prefixes += OTHER_PREFIXES.get(source.path, ())
        if not any(symbol == p or symbol.startswith(p + "_") for p in prefixes):
            yield f"{source.path}: {symbol} does not start with {prefixes[0]}_"


def file_sizes(tree):
    """no .c file passes 600 lines"""
    for source in tree.c_sources:
        lines = source.text.count("\n")
        if source.kind == ".c" and lines > FILE_LINES:
            yield f"{source.path}: {lines} lines, at most {FILE_LINES}"


def function_sizes(tree):
    """no function passes 80 lines"""
    for source in tree.c_sources:
        for function in source.functions():
            if function.lines > FUNCTION_LINES:
                yield f"{source.path}:{function.line}: {function.name} has {function.lines} lines"


def complexity(tree):
    """no function passes a complexity of 15"""
    for source in tree.c_sources:
        for function in source.functions():
            if function.complexity > COMPLEXITY:
                yield f"{source.path}:{function.line}: {function.name} has a complexity of {function.complexity}"


def banned(tree):
    """banned functions are not used"""
    for source in tree.c_sources:
        for pattern, where, why in BANNED:
            if allowed(source.path, where):
                continue
            for line, text in source.find(pattern):
                yield f"{source.path}:{line}: {text.strip(' (')} {why}"


def guards(tree):
    """headers have include guards"""
    for source in tree.c_sources:
        if source.kind != ".h":
            continue
        match = re.match(r"\s*#ifndef (\w+)\s*\n\s*#define (\w+)\s*\n", source.code)
        if not match or match.group(1) != match.group(2) or not source.text.rstrip().endswith("#endif"):
            yield f"{source.path}:1: has no include guard"


def self_contained(tree):
    """headers compile on their own"""
    headers = [s.path for s in tree.c_sources if s.kind == ".h"]
    flags = [f for f in shlex.split(os.environ.get("LINT_CFLAGS", "")) if not f.startswith("-f")]
    compiler = shlex.split(os.environ.get("CC") or "cc")
    command = compiler + flags + ["-I", tree.top, "-D_GNU_SOURCE", "-w", "-fsyntax-only", "-x", "c", "-"]

    def compile_one(path):
        program = f'#include "{path}"\n#include "{path}"\n'
        return path, subprocess.run(command, input=program, cwd=tree.build or tree.top, capture_output=True, text=True)

    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for path, result in pool.map(compile_one, headers):
            if result.returncode != 0:
                first = next((l for l in result.stderr.splitlines() if "error:" in l), result.stderr)
                yield f"{path}: {first}"


def layout(tree):
    """clang-format would change nothing"""
    tool = os.environ.get("CLANG_FORMAT") or "clang-format"
    files = [s.path for s in tree.c_sources]
    try:
        result = subprocess.run(
            [tool, "--dry-run", "-ferror-limit=0"] + files, cwd=tree.top, capture_output=True, text=True
        )
    except (FileNotFoundError, PermissionError):
        raise Skip("clang-format is not installed") from None
    seen = set()
    for line in result.stderr.splitlines():
        match = re.match(r"(\S+?):(\d+):\d+: (?:warning|error): code should be clang-formatted", line)
        if match and match.groups() not in seen:
            seen.add(match.groups())
            yield f"{match.group(1)}:{match.group(2)}: make format changes this"
    if result.returncode != 0 and not seen:
        yield result.stderr


def init_size(tree):
    """the supervisor stays under 1,500 lines"""
    total = sum(s.text.count("\n") for s in tree.under("init"))
    if total >= INIT_LINES:
        yield f"init/: {total} lines"


def whitespace(tree):
    """no stray white space, no line over 100 columns"""
    for source in tree.sources:
        if source.path == "LICENSE":
            continue
        for number, line in enumerate(source.text.split("\n"), 1):
            if line.endswith((" ", "\t", "\r")):
                yield f"{source.path}:{number}: white space at the end of the line"
            if source.kind in (".c", ".h", ".py") and "\t" in line:
                yield f"{source.path}:{number}: a tab"
            if source.kind in (".c", ".h", ".def") and len(line) > COLUMNS:
                yield f"{source.path}:{number}: {len(line)} columns"
        if source.text and (not source.text.endswith("\n") or source.text.endswith("\n\n")):
            yield f"{source.path}: does not end with exactly one line end"


def local_paths(tree):
    """no paths of a developer's machine"""
    for source in tree.sources:
        for match in re.finditer(r"(?<![\w.])/(?:home/\w+|wo[r]k|far[m])/", source.text):
            yield f"{source.path}:{source.line_of(match.start())}: {match.group()}"


def listed(tree):
    """every source is in Makefile.am"""
    makefile = tree.get("Makefile.am")
    words = set(re.sub(r"#.*", "", makefile.text).split()) if makefile else set()
    words |= {word.rsplit("=", 1)[1] for word in words if "=" in word}
    for source in tree.sources:
        if not source.path.startswith(("protocol/", "agent/", "init/", "client/", "tests/")):
            continue
        if source.path in words or source.path.endswith("/.gitignore"):
            continue
        word = source.stem
        if source.folder == "tests/fuzz":
            word = re.sub("^fuzz_", "", word)
        if source.folder in WORD_FOLDERS and word in words:
            continue
        yield f"{source.path}: not in Makefile.am"


def table_rows(tree, path):
    source = tree.get(path)
    return re.findall(r"^X\((\w+), *([^,]+),", source.text, re.M) if source else []


def names_in(tree, path, start, row):
    """The names of the rows of such tables; each ends with a line that begins with "}" or is empty."""
    source = tree.get(path)
    tables = re.findall(start + r"(.*?)^(?:\}|$)", source.text if source else "", re.M | re.S)
    return [name for table in tables for name in re.findall(row, table, re.M)]


def documents(tree):
    """PROTOCOL.md names every error, limit, frame type and stage of a start"""
    document = tree.get("protocol/PROTOCOL.md")
    if not document:
        yield "protocol/PROTOCOL.md: does not exist"
        return
    for path, what in (("protocol/errors.def", "error"), ("protocol/limits.def", "limit")):
        rows = table_rows(tree, path)
        if not rows:
            yield f"{path}: no rows found"
        for name, _ in rows:
            if not re.search(rf"\b{name}\b", document.text):
                yield f"{document.path}: {what} {name} is missing"
    header = tree.get("protocol/frame.h")
    frames = re.search(r"#define NSP_FRAME_TYPES\(X\)(?:[^\n]*\\\n)*[^\n]*", header.text if header else "")
    rows = re.findall(r"\bX\((\w+), *(\d+),", frames.group()) if frames else []
    if not rows:
        yield "protocol/frame.h: no rows of NSP_FRAME_TYPES found"
    for name, number in rows:
        if not re.search(rf"^\| *{number} *\| *{name} *\|", document.text, re.M):
            yield f"{document.path}: frame type {number} {name} is missing"
    stages = names_in(tree, "agent/os/spawn.h", r"#define SPAWN_STAGES\(X\)", r'\bX\(\w+, "(\w+)"\)')
    if not stages:
        yield "agent/os/spawn.h: no rows of SPAWN_STAGES found"
    for stage in stages:
        if not re.search(rf"^\|[^|\n]*`{stage}`", document.text, re.M):
            yield f"{document.path}: stage {stage} is missing"


def manuals(tree):
    """the manual pages name every key, step and command, and nsctl.1 every option"""
    for page, what, path, start, row, form in MANUALS:
        manual = tree.get(f"packaging/man/{page}")
        names = names_in(tree, path, start, row)
        if not manual or not names:
            yield f"{path}: no {what} found, or no {page}"
            continue
        text = manual.text.replace("\\-", "-")
        for name in names:
            if not re.search(form.format(re.escape(name)), text, re.M):
                yield f"{manual.path}: {what} {name} is missing"


def ranks(tree):
    """HACKING.md has the ranks of the folders"""
    document = tree.get("HACKING.md")
    rows = re.findall(r"\| (\d+) \|([^|\n]*)(?=\|)", document.text if document else "")
    told = {(folder, int(rank)) for rank, folders in rows for folder in re.findall(r"`([\w/]+)/`", folders)}
    real = {(folder, rank) for folder, rank in RANKS.items() if tree.under(folder)}
    for folder, rank in sorted(real - told):
        yield f"HACKING.md: {folder} with rank {rank} is missing"
    for folder, rank in sorted(told - real):
        yield f"HACKING.md: {folder} has not rank {rank}"


def version(tree):
    """CHANGELOG.md has the version of configure.ac"""
    configure, changelog = tree.get("configure.ac"), tree.get("CHANGELOG.md")
    match = re.search(r"AC_INIT\(\[[^]]*\], \[([^]]*)\]", configure.text if configure else "")
    if not match:
        yield "configure.ac: no version found"
    elif not changelog or not re.search(rf"^## {re.escape(match.group(1))}\b", changelog.text, re.M):
        yield f"CHANGELOG.md: has no section for {match.group(1)}"


RULES = (
    layers,
    third_party,
    symbols,
    file_sizes,
    function_sizes,
    complexity,
    banned,
    guards,
    self_contained,
    layout,
    init_size,
    whitespace,
    local_paths,
    listed,
    documents,
    manuals,
    ranks,
    version,
)
