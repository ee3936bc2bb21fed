#!/usr/bin/env python3
"""Checks that every C++ file is as clang-format-19 would write it."""

import subprocess

import source_tree


def check(root):
    findings = source_tree.Findings()
    files = [str(path) for path in source_tree.cpp_files(root)]
    command = ["clang-format-19", "--dry-run", "-Werror", "--ferror-limit=1", *files]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    for line in run.stderr.splitlines():
        if ": error:" in line:
            path, number, _ = line.split(":", 2)
            findings.add(path, number, f"not formatted; run clang-format-19 -i {path}")
    if run.returncode != 0 and not findings.lines:
        findings.add(".clang-format", 1, run.stderr.strip())
    return findings


if __name__ == "__main__":
    options = source_tree.arguments(__doc__)
    source_tree.report(check(options.root), "format: every C++ file is formatted")
