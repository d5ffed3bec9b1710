"""The tree as the lint rules see it: files, and C text without comments and strings."""

import os
import re

C_FOLDERS = ("protocol", "agent", "init", "client", "tests")
TEXT_FOLDERS = C_FOLDERS + ("packaging", ".ci")
# Written by autoreconf or by a test run, or bytes and not text.
NOT_OURS = ("packaging/build-aux", "tests/fuzz/corpus", "__pycache__")

TOKENS = re.compile(
    r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""",
    re.S,
)
DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", re.M)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', re.M)
DECISION = re.compile(r"\b(?:if|for|while|case)\b|&&|\|\||\?")


def blank(match):
    """The matched text with everything but line ends turned into spaces."""
    return re.sub(r"[^\n]", " ", match.group())


class Function:
    def __init__(self, name, line, body):
        self.name = name
        self.line = line
        self.lines = body.count("\n") + 1
        self.complexity = 1 + len(DECISION.findall(body))


class Source:
    """One file. path is relative to the top of the tree, with slashes."""

    def __init__(self, top, path):
        self.path = path
        with open(os.path.join(top, path), encoding="utf-8", errors="replace", newline="") as file:
            self.text = file.read()
        self.folder = os.path.dirname(path)
        self.stem, self.kind = os.path.splitext(os.path.basename(path))

    @property
    def code(self):
        """Without comments, and with empty strings."""
        if not hasattr(self, "_code"):
            self._code = TOKENS.sub(blank, self.text)
        return self._code

    def line_of(self, position):
        return self.text.count("\n", 0, position) + 1

    def includes(self):
        """(line, quote character, path) of each #include."""
        without_comments = re.sub(r"//[^\n]*|/\*.*?\*/", blank, self.text, flags=re.S)
        for match in INCLUDE.finditer(without_comments):
            yield self.line_of(match.start()), match.group(1), match.group(2)

    def find(self, pattern):
        """(line, text) of each match of a pattern in the code."""
        for match in re.finditer(pattern, self.code):
            yield self.line_of(match.start()), match.group()

    def functions(self):
        """Definitions at the outermost level: a brace that follows a parameter list."""
        text = DIRECTIVE.sub(blank, self.code)
        depth = 0
        head_start = body_start = 0
        head = ""
        for match in re.finditer(r"[{};]", text):
            char, at = match.group(), match.start()
            if char == "{":
                if depth == 0:
                    head = text[head_start:at]
                    body_start = at
                depth += 1
            elif char == "}":
                depth = max(depth - 1, 0)
                if depth == 0:
                    name = function_name(head)
                    if name:
                        start = head_start + len(head) - len(head.lstrip())
                        yield Function(name, self.line_of(start), text[start : at + 1])
                    head_start = at + 1
            elif depth == 0:
                head_start = at + 1


def function_name(head):
    """The name in what stands before a brace; None when that is no function's head."""
    head = re.sub(r"__attribute__\s*\(\(.*?\)\)", " ", head, flags=re.S)
    if "=" in head or "(" not in head or not head.rstrip().endswith(")"):
        return None
    match = re.search(r"(\w+)\s*\(\s*(\w*)", head)
    if match.group(1).startswith(("START_TEST", "START_LOOP_TEST")):
        return match.group(2)
    return match.group(1)


class Tree:
    """All files under version control, found by walking, so that an unpacked tarball will do."""

    def __init__(self, top, build=None):
        self.top = top
        self.build = build
        self.sources = [Source(top, path) for path in sorted(self.walk())]
        self.c_sources = [s for s in self.sources if s.kind in (".c", ".h") and s.path.startswith(C_FOLDERS)]

    def walk(self):
        for name in os.listdir(self.top):
            if os.path.isfile(os.path.join(self.top, name)) and self.top_file(name):
                yield name
        for folder in TEXT_FOLDERS:
            for directory, folders, names in os.walk(os.path.join(self.top, folder)):
                relative = os.path.relpath(directory, self.top)
                folders[:] = [n for n in folders if not f"{relative}/{n}".endswith(NOT_OURS)]
                for name in names:
                    if not name.endswith((".o", ".swp", "~", ".d")):
                        yield f"{relative}/{name}"

    @staticmethod
    def top_file(name):
        return name in ("configure.ac", "Makefile.am", "LICENSE", ".gitignore", ".clang-format") or name.endswith(".md")

    def get(self, path):
        return next((s for s in self.sources if s.path == path), None)

    def under(self, *folders):
        return [s for s in self.c_sources if (s.path + "/").startswith(tuple(f + "/" for f in folders))]
