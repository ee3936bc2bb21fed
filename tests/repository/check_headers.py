#!/usr/bin/env python3
"""Checks that every header of a library is listed in its CMakeLists.txt, and that each compiles alone.

The build compiles sources together, which proves nothing of what a header includes itself.
"""

import concurrent.futures
import hashlib
import os
import re
import subprocess

import compile_commands
import source_tree

JOBS = 2
FOREIGN = r"^[ \t]*#[ \t]*include[ \t]*<([^>]+)>"

#: The headers that our headers may use of the standard library, and what each of them may take from there.
STANDARD = {
    "algorithm": {"max", "min", "ranges::copy"},
    "array": {"array"},
    "atomic": {"atomic"},
    "chrono": {"chrono"},
    "cmath": {"log"},
    "concepts": {"integral", "same_as", "unsigned_integral"},
    "condition_variable": {"condition_variable", "condition_variable_any"},
    "deque": {"deque"},
    "cstddef": {"size_t", "ptrdiff_t"},
    "cstdint": {f"{sign}int{bits}_t" for sign in ("", "u") for bits in (8, 16, 32, 64)} | {"uintptr_t"},
    "cstdio": {"fprintf"},
    "cstdlib": {"abort"},
    "cstring": {"memcpy", "memset"},
    "exception": {"current_exception", "exception_ptr", "rethrow_exception"},
    "expected": {"expected", "unexpected"},
    "filesystem": {"filesystem"},
    "functional": {"function", "hash", "less"},
    "initializer_list": {"initializer_list"},
    "limits": {"numeric_limits"},
    "list": {"list"},
    "map": {"map", "multimap"},
    "memory": {"enable_shared_from_this", "make_shared", "make_unique", "shared_ptr", "unique_ptr", "weak_ptr"},
    "mutex": {"lock_guard", "mutex", "scoped_lock", "unique_lock"},
    "optional": {"nullopt", "optional"},
    "set": {"set"},
    "shared_mutex": {"shared_lock", "shared_mutex"},
    "source_location": {"source_location"},
    "span": {"span"},
    "stop_token": {"stop_callback", "stop_source", "stop_token"},
    "string": {"string", "to_string"},
    "string_view": {"string_view"},
    "thread": {"jthread", "thread"},
    "type_traits": {"conditional_t", "invoke_result_t", "is_void_v"},
    "unordered_map": {"unordered_map"},
    "utility": {"exchange", "forward", "move", "pair", "swap"},
    "variant": {"monostate", "variant"},
    "vector": {"vector"},
}
#: Libraries whose namespaces our headers use.
OTHERS = {"asio": "boost/asio/", "nlohmann": "nlohmann/"}
PRECOMPILED = ("boost/asio/any_io_executor.hpp", "boost/asio/awaitable.hpp", "nlohmann/json.hpp")


def check_listed(root, findings):
    for path in product_headers(root):
        lists = root / path.parent / "CMakeLists.txt"
        text = lists.read_text(encoding="utf-8") if lists.is_file() else ""
        if not re.search(rf"(?<![\w/.]){re.escape(path.name)}(?![\w.])", text):
            findings.add(path, 1, f"not in HEADERS of {path.parent}/CMakeLists.txt")


def check_first(root, findings):
    for path in source_tree.cpp_files(root):
        header = path.with_suffix(".h")
        if path.suffix != ".cc" or not source_tree.is_product(path) or not (root / header).is_file():
            continue
        code = source_tree.blank_comments(source_tree.read(root, path))
        first = re.search(r"^[ \t]*#[ \t]*include[ \t]*(\S+)", code, re.MULTILINE)
        if not first or first.group(1) != f'"{header}"':
            line = source_tree.line_of(code, first.start()) if first else 1
            findings.add(path, line, f"begin with #include \"{header}\"")


def check_foreign(root, findings):
    """What comes from elsewhere is there in every header that uses it, by itself or by a header of ours."""
    for path in product_headers(root):
        closure = set()
        compile_commands.included_files(root, path, closure)
        texts = [source_tree.blank_comments(source_tree.read(root, each)) for each in closure]
        included = {name for text in texts for name in re.findall(FOREIGN, text, re.MULTILINE)}
        code = source_tree.blank_comments_and_strings(source_tree.read(root, path))
        for use in re.finditer(r"(?<![\w:])(std|asio|nlohmann)::((?:\w+::)?\w+)", code):
            if wants := missing(use.group(1), use.group(2), included):
                findings.add(path, source_tree.line_of(code, use.start()), f"{use.group(0)} {wants}")


def missing(space, name, included):
    """What is wrong with the use of a name where these headers are included; nothing when all is well."""
    if space != "std":
        library = OTHERS[space]
        return None if any(each.startswith(library) for each in included) else f"needs a header of <{library}...>"
    known = [header for header, names in STANDARD.items() if name in names or name.split("::")[0] in names]
    if not known:
        return "is not in the table of check_headers.py: add it"
    return None if included & set(known) else "needs " + " or ".join(f"<{header}>" for header in known)


def product_headers(root):
    return [path for path in source_tree.cpp_files(root) if path.suffix == ".h" and source_tree.is_product(path)]


def precompile(scratch, flags):
    """What is slow to read and comes from elsewhere, for a set of flags; check_foreign looks at what it would hide."""
    name = hashlib.sha256(" ".join(flags).encode()).hexdigest()[:16]
    source = scratch / f"{name}.h"
    source.write_text("".join(f"#include <{header}>\n" for header in [*STANDARD, *PRECOMPILED]), encoding="utf-8")
    # Else each header would make anew what the templates there stand for.
    command = ["clang++-19", *flags, "-w", "-fpch-instantiate-templates", "-x", "c++-header", str(source)]
    subprocess.run([*command, "-o", f"{source}.pch"], check=True)
    return f"{source}.pch"


def compile_header(root, path, flags, precompiled):
    command = ["clang++-19", *flags, "-fsyntax-only", "-w", "-include-pch", precompiled, "-x", "c++", str(root / path)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    errors = [line.replace(f"{root}/", "") for line in run.stderr.splitlines() if " error: " in line]
    return errors if errors or run.returncode == 0 else [f"{path}:1: {run.stderr[-2000:]}"]


def check_compile(root, build, findings):
    scratch = build / "headers"
    scratch.mkdir(exist_ok=True)
    of_directory = {path.parent: flags for path, flags in compile_commands.sources(root, build)}

    def flags_for(path):
        # A directory of headers alone is compiled as its neighbours are.
        def nearness(directory):
            return len(os.path.commonprefix([directory.parts, path.parts]))

        return of_directory[max(sorted(of_directory), key=nearness)]

    headers = {path: flags_for(path) for path in product_headers(root)}
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        every = sorted(set(headers.values()))
        precompiled = dict(zip(every, pool.map(lambda flags: precompile(scratch, flags), every)))
        results = pool.map(lambda path: compile_header(root, path, headers[path], precompiled[headers[path]]), headers)
        for errors in results:
            findings.lines.extend(line for line in errors if line not in findings.lines)


if __name__ == "__main__":
    options = source_tree.arguments(__doc__, build=True)
    found = source_tree.Findings()
    check_listed(options.root, found)
    check_first(options.root, found)
    check_foreign(options.root, found)
    check_compile(options.root, options.build, found)
    source_tree.report(found, "headers: each compiles alone")
