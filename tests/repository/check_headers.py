#!/usr/bin/env python3
"""Checks that every header of a library is listed in its CMakeLists.txt, and that each compiles alone.

A header's own source begins with it, and compiles; a header without a source is compiled here.
"""

import re
import subprocess

import source_tree


def check_listed(root, findings):
    for path in source_tree.cpp_files(root):
        if path.suffix != ".h" or not source_tree.is_product(path):
            continue
        lists = root / path.parent / "CMakeLists.txt"
        text = lists.read_text(encoding="utf-8") if lists.is_file() else ""
        if not re.search(rf"(?<![\w/.]){re.escape(path.name)}(?![\w.])", text):
            where = f"HEADERS of {path.parent}/CMakeLists.txt"
            findings.add(path, 1, f"not in {where}, so nothing proves that it compiles alone")


def check_first(root, findings):
    for path in source_tree.cpp_files(root):
        header = path.with_suffix(".h")
        if path.suffix != ".cc" or not source_tree.is_product(path) or not (root / header).is_file():
            continue
        code = source_tree.blank_comments(source_tree.read(root, path))
        first = re.search(r"^[ \t]*#[ \t]*include[ \t]*(\S+)", code, re.MULTILINE)
        if not first or first.group(1) != f'"{header}"':
            line = source_tree.line_of(code, first.start()) if first else 1
            findings.add(path, line, f"begin with #include \"{header}\", which proves that it compiles alone")


def check_compile(build, findings):
    command = ["cmake", "--build", str(build), "--target", "header_checks", "--", "-k", "0"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        errors = [line for line in run.stdout.splitlines() if " error: " in line]
        for line in errors or [run.stdout[-2000:] + run.stderr[-2000:]]:
            findings.lines.append(line)


if __name__ == "__main__":
    options = source_tree.arguments(__doc__, build=True)
    found = source_tree.Findings()
    check_listed(options.root, found)
    check_first(options.root, found)
    check_compile(options.build, found)
    source_tree.report(found, "headers: each compiles alone")
