"""The files of the repository as the checks see them. Python standard library only."""

import argparse
import pathlib
import re
import subprocess
import sys

PRODUCT_ROOTS = ("common", "dp", "proto", "server", "edge_agent", "cli")
CPP_SUFFIXES = (".h", ".cc")


def repository_root():
    return pathlib.Path(__file__).resolve().parents[2]


def list_files(root):
    """Paths relative to root: tracked files and new ones that are not ignored; without git, all but build trees."""
    # safe.directory: the tests also run as root in a checkout that somebody else owns.
    git = ["git", "-c", "safe.directory=*", "-C", str(root)]
    if (root / ".git").exists():
        command = [*git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(command, check=True, capture_output=True).stdout.decode().split("\0")
        paths = [pathlib.PurePosixPath(name) for name in names if name]
    else:
        found = (path.relative_to(root) for path in root.rglob("*"))
        paths = [pathlib.PurePosixPath(path) for path in found if path.parts[0] not in ("build", ".git", ".cache")]
    return sorted(path for path in paths if (root / path).is_file() and "__pycache__" not in path.parts)


def cpp_files(root):
    return [path for path in list_files(root) if path.suffix in CPP_SUFFIXES]


def is_product(path):
    return path.parts[0] in PRODUCT_ROOTS


def read(root, path):
    return (root / path).read_text(encoding="utf-8")


_CPP_TOKEN = re.compile(
    r"//[^\n]*|/\*.*?\*/"  # comments
    r'|R"(?P<tag>[^()\\\s]{0,16})\(.*?\)(?P=tag)"'  # raw strings
    r'|"(?:\\.|[^"\\\n])*"|(?<![0-9A-Za-z_])\'(?:\\.|[^\'\\\n])*\'',  # strings and characters, not digit separators
    re.DOTALL,
)


def blank_comments_and_strings(text):
    """The code alone, with every line in its place."""

    def blank(match):
        token = match.group(0)
        return re.sub(r"[^\n]", " ", token)

    return _CPP_TOKEN.sub(blank, text)


def blank_comments(text):
    """Code and strings, with every line in its place."""

    def blank(match):
        token = match.group(0)
        return re.sub(r"[^\n]", " ", token) if token.startswith("/") else token

    return _CPP_TOKEN.sub(blank, text)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


class Findings:
    """What a check found, as path:line: message."""

    def __init__(self):
        self.lines = []

    def add(self, path, line, message):
        self.lines.append(f"{path}:{line}: {message}")

    def __len__(self):
        return len(self.lines)

    def contains(self, part):
        return any(part in line for line in self.lines)


def arguments(description, *, build=False):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--root", type=pathlib.Path, default=repository_root())
    if build:
        parser.add_argument("--build", type=pathlib.Path, required=True, help="a configured build directory")
    return parser.parse_args()


def report(findings, good):
    """Prints the findings and ends the process: 0 when there are none."""
    for line in findings.lines:
        print(line)
    print(f"{len(findings)} finding(s)" if findings.lines else good)
    sys.exit(1 if findings.lines else 0)
