#!/usr/bin/env python3
"""Checks text rules that no other tool knows: sizes, leftovers, names, and what may not stand in the repository."""

import re
import subprocess

import source_tree

MAX_LINE = 120
MAX_FUNCTION = 70
MAX_FILE = {"header": 350, "source": 600, "test": 1000}
TEXT_SUFFIXES = {".h", ".cc", ".py", ".sh", ".md", ".txt", ".cmake", ".proto", ".toml", ".yml", ".yaml", ".json",
                 ".ts", ".js", ".css", ".html"}
TEXT_NAMES = {".clang-format", ".clang-tidy", ".editorconfig", ".gitignore", "run", "LICENSE"}

# Words that mean unfinished work; spelled in pieces so that this file passes its own check.
LEFTOVERS = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X")) + r")\b")
EMPTY_NAMES = re.compile(r"\b(?:class|struct)\s+(\w*(?:Manager|Helpers?|Utils?|Data|Info))\s*(?:final\s*)?[:{]")
PRIVATE_KEY = re.compile(r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s*\n\s*[A-Za-z0-9+/=]{40,}")

PROGRAMS = ("cli/", "server/app/", "edge_agent/app/", "tests/", "benchmarks/")
CODE_RULES = (
    # (pattern, where it is allowed, message)
    (r"\bdetached\b", ("common/net/",), "a spawn goes through TaskGroup; detached appears only inside common/net"),
    (r"\bstd::cout\b", PROGRAMS, "libraries return text or log"),
    (r"\bthrow\b", ("tests/",), "our code throws nowhere: return a Result"),
    (r"\busing namespace (?!std::(?:\w+_)?literals)", ("tests/",), "name what is used"),
    (r"\b(?:srand|rand)\s*\(\s*\)", (), "randomness is passed in (common/base/random.h)"),
)


def is_text(path):
    if path.parts[:3] == ("tests", "fuzz", "corpus"):
        return False
    return path.suffix in TEXT_SUFFIXES or path.name in TEXT_NAMES or path.name == "CMakeLists.txt"


def check_lines(path, text, findings):
    # A table row of a document, and a line of a list that a program reads, cannot be wrapped.
    wraps = path.suffix not in (".md", ".json") and str(path) not in ("LICENSE", "cmake/layers.txt")
    for number, line in enumerate(text.split("\n"), 1):
        if line != line.rstrip():
            findings.add(path, number, "white space at the end of the line")
        if "\t" in line:
            findings.add(path, number, "a tab; indent with spaces")
        if wraps and len(line) > MAX_LINE:
            findings.add(path, number, f"{len(line)} columns; the limit is {MAX_LINE}")
        if LEFTOVERS.search(line):
            findings.add(path, number, "unfinished work is an issue, not a comment")
    if text and not text.endswith("\n"):
        findings.add(path, text.count("\n") + 1, "no newline at the end of the file")


def check_cpp(path, text, findings):
    code = source_tree.blank_comments_and_strings(text)
    for pattern, allowed, message in CODE_RULES:
        if str(path).startswith(allowed):
            continue
        for match in re.finditer(pattern, code):
            findings.add(path, source_tree.line_of(code, match.start()), f"'{match.group(0).strip()}': {message}")
    for match in EMPTY_NAMES.finditer(code):
        line = source_tree.line_of(code, match.start())
        findings.add(path, line, f"{match.group(1)} is a name that says nothing; name what it does")
    kind = "test" if path.parts[0] == "tests" else "header" if path.suffix == ".h" else "source"
    lines = text.count("\n")
    if lines > MAX_FILE[kind]:
        findings.add(path, lines, f"{lines} lines; the limit of a {kind} file is {MAX_FILE[kind]}: split it by topic")
    for line, length, name in functions(code):
        if length > MAX_FUNCTION:
            findings.add(path, line, f"{name} has {length} lines; the limit is {MAX_FUNCTION}")


def without_directives(code):
    """The code with preprocessor lines blanked: their braces need not balance."""
    lines, inside = [], False
    for line in code.split("\n"):
        directive = inside or line.lstrip().startswith("#")
        inside = directive and line.endswith("\\")
        lines.append(" " * len(line) if directive else line)
    return "\n".join(lines)


SCOPE = re.compile(r"\b(namespace|class|struct|union|enum|extern)\b[^;(){}]*$")
# What stands in front of the brace of a function's body: ')' and then only qualifiers, a return type or initialisers.
BODY = re.compile(r"(?P<name>[~\w:]+|operator[^\w\s(]{1,3}|TEST\w*)\s*\((?P<rest>.*)$", re.DOTALL)


def functions(code):
    """(line, number of lines, name) of every function body outside of other functions, by matching braces."""
    code = without_directives(code)
    stack, start, found = [], 0, []
    for match in re.finditer(r"[{};]", code):
        at, brace = match.start(), match.group(0)
        if brace == "{":
            head = code[start:at]
            inside_function = any(kind == "body" for kind, _, _ in stack)
            kind, name = "other", ""
            if not inside_function and ")" in head and (called := BODY.search(head)) and not SCOPE.search(head):
                kind, name = "body", called.group("name")
            stack.append((kind, at, name))
        elif brace == "}" and stack:
            kind, opened, name = stack.pop()
            if kind == "body":
                first, last = source_tree.line_of(code, opened), source_tree.line_of(code, at)
                found.append((first, last - first + 1, name))
        start = at + 1
    return found


def check_shell(root, path, findings):
    run = subprocess.run(["bash", "-n", str(root / path)], capture_output=True, text=True, check=False)
    if run.returncode != 0:
        findings.add(path, 1, "bash -n: " + run.stderr.strip().replace("\n", "; "))


def check_python(path, text, findings):
    try:
        compile(text, str(path), "exec")
    except SyntaxError as error:
        findings.add(path, error.lineno or 1, f"python: {error.msg}")


def check(root):
    findings = source_tree.Findings()
    for path in source_tree.list_files(root):
        if not is_text(path):
            continue
        text = source_tree.read(root, path)
        check_lines(path, text, findings)
        for match in PRIVATE_KEY.finditer(text):
            findings.add(path, source_tree.line_of(text, match.start()), "a private key: tests make their own")
        if path.suffix in source_tree.CPP_SUFFIXES:
            check_cpp(path, text, findings)
        elif path.suffix == ".sh" or re.match(r"#!.*\b(bash|sh)\b", text):
            check_shell(root, path, findings)
        elif path.suffix == ".py":
            check_python(path, text, findings)
    return findings


if __name__ == "__main__":
    options = source_tree.arguments(__doc__)
    source_tree.report(check(options.root), "tidy: sizes, names and leftovers are within the rules")
