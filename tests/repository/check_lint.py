#!/usr/bin/env python3
"""Runs clang-tidy-19 over every source file that ships; a file whose inputs passed before is not run again.

The inputs: the file, all headers of ours that it includes, its compile command, .clang-tidy and the tool's version.
"""

import concurrent.futures
import hashlib
import json
import pathlib
import re
import subprocess

import source_tree

JOBS = 2


def included_files(root, path, known):
    """path and everything of ours that it includes, directly or not."""
    if path in known:
        return
    known.add(path)
    text = source_tree.blank_comments((root / path).read_text(encoding="utf-8"))
    for header in re.findall(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', text, re.MULTILINE):
        if (root / header).is_file():
            included_files(root, pathlib.PurePosixPath(header), known)


def key_of(root, path, command, tool):
    files = set()
    included_files(root, path, files)
    digest = hashlib.sha256(tool + command.encode())
    for name in [pathlib.PurePosixPath(".clang-tidy"), *sorted(files), *sorted(root.glob("proto/tacit/v1/*.proto"))]:
        digest.update(str(name).encode() + b"\0" + (root / name).read_bytes() + b"\0")
    return digest.hexdigest()


def product_commands(root, build):
    """path -> compile command, for the hand-written sources that ship."""
    commands = {}
    for entry in json.loads((build / "compile_commands.json").read_text(encoding="utf-8")):
        full = pathlib.Path(entry["directory"], entry["file"]).resolve()
        if not full.is_relative_to(root):
            continue
        path = pathlib.PurePosixPath(full.relative_to(root))
        if source_tree.is_product(path) and path.suffix == ".cc":
            commands[path] = entry.get("command") or " ".join(entry["arguments"])
    return commands


def lint(root, build, path):
    command = ["clang-tidy-19", "--quiet", "-p", str(build), str(root / path)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    found = [line for line in run.stdout.splitlines() if re.search(r": (error|warning): ", line)]
    if run.returncode != 0 and not found:
        found = [f"{path}:1: clang-tidy failed: {(run.stdout + run.stderr)[-1000:]}"]
    return found


def check(root, build):
    findings = source_tree.Findings()
    cache = build / "lint-cache"
    cache.mkdir(exist_ok=True)
    tool = subprocess.run(["clang-tidy-19", "--version"], capture_output=True, check=True).stdout
    keys = {path: key_of(root, path, command, tool) for path, command in product_commands(root, build).items()}
    stale = [path for path, key in sorted(keys.items()) if not (cache / key).exists()]
    print(f"{len(keys)} files, {len(keys) - len(stale)} unchanged since they passed", flush=True)
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        started = {pool.submit(lint, root, build, path): path for path in stale}
        for future in concurrent.futures.as_completed(started):
            path = started[future]
            if found := future.result():
                # A fault of a header shows in every file that includes it; once is enough.
                relative = [line.replace(f"{root}/", "") for line in found]
                findings.lines.extend(line for line in relative if line not in findings.lines)
            else:
                (cache / keys[path]).touch()
            print(f"  {path}: {len(found)} finding(s)", flush=True)
    return findings


if __name__ == "__main__":
    options = source_tree.arguments(__doc__, build=True)
    source_tree.report(check(options.root, options.build), "lint: clang-tidy-19 finds nothing")
