#!/usr/bin/env python3
"""Runs clang-tidy-19 over every source file that ships; files whose inputs passed before are not looked at again.

Most of a run is spent in headers, so the files of a part of the tree that are compiled alike are looked at together, as
one translation unit. Files whose names for their own use clash are looked at in a second one, and so on.
The inputs: the files, all headers of ours that they include, their compile flags, .clang-tidy and the tool's version.
"""

import collections
import concurrent.futures
import hashlib
import pathlib
import re
import subprocess

import compile_commands
import source_tree

JOBS = 2
CONFIGURATION = pathlib.PurePosixPath(".clang-tidy")
FINDING = re.compile(r"^(.+?):\d+:\d+: (?:fatal error|error|warning): ")


def units(root, build):
    """(part of the tree, flags) -> the hand-written sources that ship and are compiled so."""
    found = collections.defaultdict(list)
    for path, flags in compile_commands.sources(root, build):
        unit = found[path.parts[0], flags]
        if source_tree.is_product(path) and path.suffix == ".cc" and path not in unit:
            unit.append(path)
    return {unit: paths for unit, paths in found.items() if paths}


def write_unit(root, scratch, paths):
    name = hashlib.sha256(" ".join(map(str, paths)).encode()).hexdigest()[:16]
    unit = scratch / f"{paths[0].parent.as_posix().replace('/', '_')}_{name}.cc"
    unit.write_text("".join(f'#include "{root / path}"\n' for path in paths), encoding="utf-8")
    return unit


def run(command, root):
    """The tool's findings, as lines with paths relative to root."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line.replace(f"{root}/", "") for line in (done.stdout + done.stderr).splitlines() if FINDING.match(line)]
    if done.returncode != 0 and not lines:
        lines = [f"{command[0]}:1:1: error: {(done.stdout + done.stderr)[-1000:]}"]
    return lines


def without_clashes(root, scratch, paths, flags):
    """The files in units that each compile: two that both name something `kInfinity` are not looked at together."""
    # Warnings are the build's business; here they would be of names that only meet in a unit.
    unit = write_unit(root, scratch, paths)
    lines = run(["clang++-19", "-fsyntax-only", *flags, "-w", "-ferror-limit=0", str(unit)], root)
    clashing = {FINDING.match(line).group(1) for line in lines}
    apart = [path for path in paths[1:] if str(path) in clashing]
    if not apart:
        return [paths]  # alone, a file that does not compile is a finding
    return [[path for path in paths if path not in apart], *without_clashes(root, scratch, apart, flags)]


def lint(root, scratch, paths, flags):
    ours = "|".join(source_tree.PRODUCT_ROOTS)
    command = ["clang-tidy-19", "--quiet", "--checks=-bugprone-suspicious-include",
               f"--header-filter=^{re.escape(str(root))}/({ours})/.*[.](h|cc)$"]

    def findings_in(files):
        return run([*command, str(write_unit(root, scratch, files)), "--", *flags, "-w"], root)

    findings = findings_in(paths)
    # Names clash in few parts of the tree, and to look for that first would take as long again.
    if any("[clang-diagnostic-error]" in line for line in findings):
        findings = [line for files in without_clashes(root, scratch, paths, flags) for line in findings_in(files)]
    return findings


def check(root, build):
    findings = source_tree.Findings()
    scratch = build / "lint"
    scratch.mkdir(exist_ok=True)
    tool = subprocess.run(["clang-tidy-19", "--version"], capture_output=True, check=True).stdout
    every = units(root, build)
    keys = {(part, flags): compile_commands.key_of(root, [CONFIGURATION, *paths], flags, tool)
            for (part, flags), paths in every.items()}
    # The largest first: the last ones to end are then short.
    stale = sorted((unit for unit in every if not (scratch / keys[unit]).exists()), key=lambda unit: -len(every[unit]))
    print(f"{sum(map(len, every.values()))} files in {len(every)} units, {len(every) - len(stale)} units unchanged "
          "since they passed", flush=True)
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        started = {pool.submit(lint, root, scratch, every[unit], unit[1]): unit for unit in stale}
        for future in concurrent.futures.as_completed(started):
            unit = started[future]
            if found := future.result():
                # A fault of a header shows in every unit that includes it; once is enough.
                findings.lines.extend(line for line in found if line not in findings.lines)
            else:
                (scratch / keys[unit]).touch()
            print(f"  {unit[0]}, {len(every[unit])} files: {len(found)} finding(s)", flush=True)
    return findings


if __name__ == "__main__":
    options = source_tree.arguments(__doc__, build=True)
    source_tree.report(check(options.root, options.build), "lint: clang-tidy-19 finds nothing")
