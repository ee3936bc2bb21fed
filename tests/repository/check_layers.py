#!/usr/bin/env python3
"""Checks who may include and link whom: cmake/layers.txt for our directories, LIBRARY_OWNERS for other libraries."""

import pathlib
import re

import source_tree

# Who may include a library's headers directly. The fewer places, the easier it is to say what a fault there can reach.
LIBRARY_OWNERS = (
    (r"boost/(asio|beast)", ("common/net",), "sockets, TLS streams and executors are common/net's"),
    (r"openssl/", ("common/crypto", "common/net"), "cryptography is common/crypto's and TLS is common/net's"),
    (r"google/protobuf/|.*\.pb\.h$", ("proto/codec",), "only the codec sees generated messages"),
    (r"sqlite3\.h$", ("server/store",), "only the store talks to the database"),
    (r"Eigen/", ("dp", "server/aggregation", "server/ownership"), "Eigen is slow to compile: few files"),
    (r"prometheus/", ("server/metrics",), "every metric is named in one class"),
    (r"toml\+\+/", ("common/base",), "use common/base/toml.h: it switches off what is unsafe in the library"),
    (r"zlib\.h$", ("edge_agent/data", "common/model", "server/dashboard"),
     "readers unpack, an export needs a CRC, pages are embedded packed"),
    (r"zstd\.h$", ("common/compression",), "use CompressIfWorthIt and Decompressor, whose memory is bounded"),
    (r"xxhash\.h$", ("common/base",), "use Xxh3 of common/base/bytes.h"),
    (r"curl/", ("common/web",), "use WebClient, which takes nothing from the environment and bounds what comes"),
    (r"tss2/|p11-kit/", ("edge_agent/keys",), "hardware keeps one key, behind OpenDeviceKey"),
    (r"CLI/", ("common/command_line", "cli", "server/app", "edge_agent/app"), "command lines are read by the programs"),
)

# Decisions and mathematics: the same input gives the same output, on any machine and in a simulation.
PURE = ("dp", "server/round", "server/aggregation")
IMPURE_INCLUDES = (
    r"common/base/(log|files)\.h|boost/(?!multiprecision)|fstream|iostream|cstdio|filesystem|thread|random$"
    r"|unistd\.h|sys/"
)
IMPURE_CODE = r"\b((system|steady)_clock::now|high_resolution_clock|SystemClock|random_device|getenv|std::time)\b"

# Links to these targets are links to the library of the same line in LIBRARY_OWNERS.
TARGET_OWNERS = (
    (r"OpenSSL::", ("common/crypto", "common/net")),
    (r"tacit_schema|protobuf::", ("proto/codec", "proto/tacit/v1")),
    (r"SQLite", ("server/store",)),
    (r"prometheus-cpp", ("server/metrics",)),
    (r"Eigen3::", ("dp", "server/aggregation", "server/ownership")),
    (r"ZLIB::", ("edge_agent/data", "common/model", "server/dashboard")),
    (r"zstd::", ("common/compression",)),
    (r"CURL::", ("common/web",)),
    (r"PkgConfig::XXHASH", ("common/base",)),
)

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.MULTILINE)
CMAKE_CALL = re.compile(r"^\s*(tacit_library|tacit_executable|target_link_libraries)\s*\(([^)]*)\)", re.MULTILINE)
CMAKE_WORDS = {"SOURCES", "HEADERS", "DEPS", "PRIVATE_DEPS", "PUBLIC", "PRIVATE", "INTERFACE"}


def read_layers(root, findings):
    """directory -> set of the directories it may use."""
    layers = {}
    path = pathlib.PurePosixPath("cmake/layers.txt")
    for number, line in enumerate(source_tree.read(root, path).splitlines(), 1):
        line = line.split("#", 1)[0].strip()
        if not line:
            continue
        name, colon, uses = line.partition(":")
        if not colon or name in layers:
            findings.add(path, number, f"expected 'directory: directories', one line a directory, not '{line}'")
            continue
        layers[name.strip()] = set(uses.split())
    for name, uses in layers.items():
        for unknown in uses - layers.keys():
            findings.add(path, 1, f"{name} may use {unknown}, which has no line of its own")
    report_cycles(layers, path, findings)
    return layers


def report_cycles(layers, path, findings):
    done = set()

    def visit(name, trail):
        if name in trail:
            findings.add(path, 1, "a cycle: " + " -> ".join(trail[trail.index(name):] + [name]))
            return
        if name in done:
            return
        for use in sorted(layers.get(name, ())):
            visit(use, trail + [name])
        done.add(name)

    for name in sorted(layers):
        visit(name, [])


def layer_of(path, layers):
    """The longest declared directory that holds path, or None."""
    parts = pathlib.PurePosixPath(path).parts
    for length in range(len(parts), 0, -1):
        name = "/".join(parts[:length])
        if name in layers:
            return name
    return None


def check_own_include(root, layers, path, layer, line, header, findings):
    if header.startswith(("tests/", "benchmarks/")):
        findings.add(path, line, f"includes {header}: nothing that ships may include tests or benchmarks")
        return
    used = layer_of(header, layers)
    if not (root / header).is_file() or used is None:
        findings.add(path, line, f"includes {header}, which is no file of a layer; paths start at the root")
    elif used != layer and used not in layers[layer]:
        findings.add(path, line, f"{layer} may not include {used} ({header}); see its line in cmake/layers.txt")


def check_library_include(path, layer, line, header, findings):
    for pattern, owners, reason in LIBRARY_OWNERS:
        if re.match(pattern, header) and layer not in owners:
            findings.add(path, line, f"includes {header}, allowed in {', '.join(owners)} only: {reason}")


def check_sources(root, layers, findings):
    for path in source_tree.cpp_files(root):
        if not source_tree.is_product(path):
            continue
        layer = layer_of(path.parent, layers)
        if layer is None:
            findings.add(path, 1, f"{path.parent} has no line in cmake/layers.txt")
            continue
        text = source_tree.blank_comments(source_tree.read(root, path))
        for match in INCLUDE.finditer(text):
            quote, header = match.groups()
            line = source_tree.line_of(text, match.start())
            if quote == '"' and not header.endswith(".pb.h"):
                check_own_include(root, layers, path, layer, line, header, findings)
            else:
                check_library_include(path, layer, line, header, findings)
            if layer in PURE and re.match(IMPURE_INCLUDES, header):
                findings.add(path, line, f"{layer} is pure: no {header} here; take its result as an argument")
        check_code(path, layer, source_tree.blank_comments_and_strings(text), findings)


def check_code(path, layer, code, findings):
    # dp/audit.cc keeps the ledger of a task that exists nowhere, in memory, and lets no token out.
    if layer in PURE:
        for match in re.finditer(IMPURE_CODE, code):
            line = source_tree.line_of(code, match.start())
            findings.add(path, line, f"{layer} is pure: {match.group(0)} is an input")
    if layer != "server/store" and str(path) not in ("common/base/durable.h", "dp/audit.cc"):
        for match in re.finditer(r"\bDurableMinter\b", code):
            line = source_tree.line_of(code, match.start())
            findings.add(path, line, "only server/store may say that something is durable (DurableMinter)")


def cmake_calls(root, path, findings):
    """(line, target, linked targets) of every call in one CMakeLists.txt that makes a target or links one."""
    text = re.sub(r"#[^\n]*", "", source_tree.read(root, path))
    for match in CMAKE_CALL.finditer(text):
        line = source_tree.line_of(text, match.start(1))
        words = match.group(2).split()
        linked, section = [], "DEPS" if match.group(1) == "target_link_libraries" else None
        for word in words[1:]:
            if word in CMAKE_WORDS:
                section = "DEPS" if word in ("DEPS", "PRIVATE_DEPS", "PUBLIC", "PRIVATE", "INTERFACE") else None
            elif section == "DEPS":
                linked.append(word)
        for word in linked:
            if "$" in word:
                findings.add(path, line, f"links {word}: write link edges out, so that they can be checked")
        yield match.group(1), line, words[0], linked


def check_links(root, layers, findings):
    lists = [path for path in source_tree.list_files(root) if path.name == "CMakeLists.txt"]
    lists = [path for path in lists if source_tree.is_product(path)]
    calls = [(path, *call) for path in lists for call in cmake_calls(root, path, findings)]
    home = {"tacit_options": None}
    for path, command, _, target, _ in calls:
        if command != "target_link_libraries":
            home[target] = str(path.parent)
    home["tacit_schema"] = "proto/codec"  # generated, seen by the codec alone
    for path, _, line, target, linked in calls:
        layer = layer_of(path.parent, layers) or str(path.parent)
        for word in linked:
            check_link(path, line, layer, target, word, home, layers, findings)


def check_link(path, line, layer, target, word, home, layers, findings):
    for pattern, owners in TARGET_OWNERS:
        if re.match(pattern, word) and layer not in owners:
            findings.add(path, line, f"{target} links {word}, allowed in {', '.join(owners)} only")
    if not word.startswith("tacit_") or word == "tacit_schema":
        return
    if word not in home:
        findings.add(path, line, f"{target} links {word}, which no directory that ships makes")
        return
    used = layer_of(home[word], layers) if home[word] else layer
    if used != layer and used not in layers.get(layer, ()):
        findings.add(path, line, f"{layer} may not link {used} ({target} links {word}); see cmake/layers.txt")


def check(root):
    findings = source_tree.Findings()
    layers = read_layers(root, findings)
    check_sources(root, layers, findings)
    check_links(root, layers, findings)
    return findings


if __name__ == "__main__":
    options = source_tree.arguments(__doc__)
    source_tree.report(check(options.root), "layers: every include and link edge is allowed")
