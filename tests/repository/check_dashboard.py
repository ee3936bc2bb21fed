#!/usr/bin/env python3
"""Checks that the dashboard that is served is the one of its sources, and that these have no fault that types show."""

import pathlib
import re
import subprocess
import tempfile

import source_tree

DASHBOARD = pathlib.PurePosixPath("server/dashboard")
SOURCES = DASHBOARD / "src"
BUILT = DASHBOARD / "built"
TYPE_FAULT = re.compile(r"^(\S+)\((\d+),\d+\): (.*)$")
#: What would put an answer's words into the page as markup, or run them.
MARKUP = re.compile(r"\b(innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|eval|new Function)\b")
#: Addresses that are names, and are never asked.
ADDRESS = re.compile(r"https?://(?!www\.w3\.org/2000/svg)[^\s'\"`)]+")


def check_bytes(root, findings):
    with tempfile.TemporaryDirectory() as scratch:
        command = [root / DASHBOARD / "build.sh", pathlib.Path(scratch, "built")]
        built = subprocess.run(command, capture_output=True, text=True, check=False)
        if built.returncode != 0:
            findings.add(DASHBOARD / "build.sh", 1, f"fails: {built.stdout}{built.stderr}")
            return
        fresh = {path.name: path.read_bytes() for path in pathlib.Path(scratch, "built").iterdir()}
    there = {path.name: path.read_bytes() for path in (root / BUILT).iterdir()}
    for name in sorted(fresh.keys() | there.keys()):
        if fresh.get(name) != there.get(name):
            findings.add(BUILT / name, 1, f"is not what its sources make; run {DASHBOARD}/build.sh")


def check_types(root, findings):
    run = subprocess.run(["tsc", "--project", root / DASHBOARD], cwd=root / DASHBOARD, capture_output=True, text=True,
                         check=False)
    for line in run.stdout.splitlines():
        if match := TYPE_FAULT.match(line):
            findings.add(DASHBOARD / match[1], int(match[2]), match[3])
    if run.returncode != 0 and not findings.lines:
        findings.add(DASHBOARD / "tsconfig.json", 1, f"tsc fails: {run.stdout}{run.stderr}")


def check_text(root, findings):
    paths = [path for path in source_tree.list_files(root) if path.is_relative_to(SOURCES)]
    if not paths:
        findings.add(SOURCES, 1, "there are no sources")
    for path in paths:
        for number, line in enumerate(source_tree.read(root, path).splitlines(), 1):
            for pattern, why in ((MARKUP, "words of answers stay words"), (ADDRESS, "nothing comes from elsewhere")):
                if path.suffix == ".ts" and (match := pattern.search(line.split("Source:")[0])):
                    findings.add(path, number, f"{match.group(0)}: {why}")


def check(root):
    findings = source_tree.Findings()
    check_text(root, findings)
    check_types(root, findings)
    check_bytes(root, findings)
    return findings


if __name__ == "__main__":
    options = source_tree.arguments(__doc__)
    source_tree.report(check(options.root), "dashboard: its bundle is that of its sources, and its types agree")
