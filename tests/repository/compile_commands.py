"""How the sources are compiled, and what a compilation depends on. Python standard library only."""

import hashlib
import json
import pathlib
import re
import shlex

import source_tree


def included_files(root, path, known):
    """path and everything of ours that it includes, directly or not."""
    if path in known:
        return
    known.add(path)
    text = source_tree.blank_comments((root / path).read_text(encoding="utf-8"))
    for header in re.findall(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', text, re.MULTILINE):
        if (root / header).is_file():
            included_files(root, pathlib.PurePosixPath(header), known)


def key_of(root, paths, flags, tool):
    files = set()
    for path in paths:
        included_files(root, path, files)
    digest = hashlib.sha256(tool + " ".join(flags).encode())
    for name in [*sorted(files), *sorted(root.glob("proto/tacit/v1/*.proto"))]:
        digest.update(str(name).encode() + b"\0" + (root / name).read_bytes() + b"\0")
    return digest.hexdigest()


def flags_of(entry):
    """The options of a compile command that decide what a source means."""
    words = shlex.split(entry["command"]) if "command" in entry else list(entry["arguments"])
    while not pathlib.Path(words[0]).name.startswith("clang"):
        words.pop(0)  # ccache
    flags, skip = [], False
    for word in words[1:]:
        # -Xclang: precompiled headers, which would hide what a source does not include.
        if skip or word in ("-o", "-c", "-Xclang"):
            skip = not skip
        elif word not in ("-fPIC", "-fPIE", "-Winvalid-pch", "-fpch-instantiate-templates"):
            flags.append(word)
    return tuple(flags)


def members(path):
    """The source, or those that a file which the build made of several includes."""
    if path.parent.name != "Unity":
        return [path]
    included = re.findall(r'^#include "([^"]+)"', path.read_text(encoding="utf-8"), re.MULTILINE)
    return [pathlib.Path(name) for name in included]


def sources(root, build):
    """Each source of ours with its flags, also where several are compiled as one."""
    for entry in json.loads((build / "compile_commands.json").read_text(encoding="utf-8")):
        for full in members(pathlib.Path(entry["directory"], entry["file"]).resolve()):
            if full.is_relative_to(root) and not full.is_relative_to(build):
                yield pathlib.PurePosixPath(full.relative_to(root)), flags_of(entry)
