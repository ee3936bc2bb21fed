#!/usr/bin/env python3
"""Checks what the documents claim: links, commands, and that events, metrics and packages are those of the code."""

import json
import pathlib
import re
import subprocess

import source_tree

OPERATING = pathlib.PurePosixPath("docs/OPERATING.md")
DEPENDENCIES = pathlib.PurePosixPath("docs/DEPENDENCIES.md")
INSTALLER = pathlib.PurePosixPath("deploy/install-deps.sh")
ALERTS = pathlib.PurePosixPath("deploy/prometheus/alerts.yml")
OWN_ALERTS = pathlib.PurePosixPath("server/api/alerts.cc")
ALERT_TESTS = pathlib.PurePosixPath("deploy/prometheus/alerts_test.yml")
USES_METRICS = ("deploy/prometheus/*.yml", "deploy/grafana/*.json")
PROGRAMS = ("tacit", "tacitd", "tacit-agent")
SHELL_FENCES = ("sh", "bash", "shell", "console")

LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*#*\s*$")
FENCE = re.compile(r"^\s*(```+|~~~+)\s*(\w*)")
# A row of a table whose first cell is one `name`.
NAME_ROW = re.compile(r"^\|\s*`([^`|]+)`\s*\|", re.MULTILINE)
LOG_CALL = re.compile(r"(?:\.|->)\s*(?:Debug|Info|Warn|WarnSparingly|Error)\s*\(\s*\"([a-z0-9_.]+)\"")
LOG_WRITE = re.compile(r"(?:\.|->)\s*Write\s*\(\s*(?:[\w:]*LogLevel|level)[^;\"]*?\"([a-z0-9_.]+)\"")
METRIC = re.compile(r"\"((?:tacit|process)_[a-z0-9_]+)\"")
# Not the name of a recorded series, which has colons, nor a part of one.
METRIC_USE = re.compile(r"(?<![\w:])((?:tacit|process)_[a-z0-9_]+)(?![\w:])")
ALERT = re.compile(r"^\s*- alert: (\w+)$", re.MULTILINE)


class Document:
    """A Markdown file: its prose lines (fences blanked), its fenced blocks, and the anchors of its headings."""

    def __init__(self, text):
        self.prose, self.blocks, self.anchors = [], [], set()
        fence, language, block, start = None, "", [], 0
        for number, line in enumerate(text.split("\n"), 1):
            match = FENCE.match(line)
            if fence is None and match:
                fence, language, block, start = match.group(1), match.group(2), [], number
                self.prose.append("")
            elif fence is not None and match and match.group(1).startswith(fence):
                self.blocks.append((start, language, block))
                fence = None
                self.prose.append("")
            elif fence is not None:
                block.append(line)
                self.prose.append("")
            else:
                self.prose.append(line)
                if heading := HEADING.match(line):
                    self.anchors.add(anchor_of(heading.group(2), self.anchors))

    def section(self, title):
        """The text under the headings of this title, each up to the next heading of its rank or higher."""
        lines, rank = [], 0
        for line in self.prose:
            heading = HEADING.match(line)
            if heading and (not rank or len(heading.group(1)) <= rank):
                rank = len(heading.group(1)) if heading.group(2).lower() == title.lower() else 0
            if rank:
                lines.append(line)
        return "\n".join(lines)


def anchor_of(heading, known):
    """The fragment that a forge makes from a heading."""
    plain = re.sub(r"[`*_]|\[([^\]]*)\]\([^)]*\)", lambda match: match.group(1) or "", heading).lower()
    anchor = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
    if anchor not in known:
        return anchor
    return next(f"{anchor}-{n}" for n in range(1, 1000) if f"{anchor}-{n}" not in known)


def read_documents(root):
    paths = [path for path in source_tree.list_files(root) if path.suffix == ".md"]
    return {path: Document(source_tree.read(root, path)) for path in paths}


def check_links(root, documents, findings):
    for path, document in documents.items():
        for number, line in enumerate(document.prose, 1):
            for target in LINK.findall(re.sub(r"`[^`]*`", "", line)):
                if not re.match(r"[a-z][a-z0-9+.-]*:", target):
                    check_link(root, documents, path, number, target, findings)


def check_link(root, documents, path, number, target, findings):
    name, _, fragment = target.partition("#")
    full = pathlib.Path(root, path.parent, name).resolve() if name else root / path
    if not full.exists() or not full.is_relative_to(root.resolve()):
        findings.add(path, number, f"the link to {target} leads nowhere in the repository")
        return
    linked = documents.get(pathlib.PurePosixPath(full.relative_to(root.resolve())) if name else path)
    if fragment and (linked is None or fragment not in linked.anchors):
        findings.add(path, number, f"the link to {target}: no heading there makes that anchor")


def shell_commands(document):
    """(line, words) of every command in the shell blocks of a document."""
    for start, language, block in document.blocks:
        if language not in SHELL_FENCES:
            continue
        prompts = any(line.startswith("$ ") for line in block)
        joined = ""
        for offset, line in enumerate(block, 1):
            if prompts and not joined and not line.startswith("$ "):
                continue  # output
            joined += line.removeprefix("$ ").split(" #", 1)[0].rstrip()
            if joined.endswith("\\"):
                joined = joined[:-1] + " "
                continue
            for part in re.split(r"&&|\|\||[|;]", joined):
                words = [word for word in part.split() if not re.match(r"^[A-Z_]+=", word)]
                if words and not words[0].startswith("#"):
                    yield start + offset, words
            joined = ""


def check_commands(root, build, documents, findings):
    presets = {preset["name"] for preset in json.loads(source_tree.read(root, "CMakePresets.json"))["configurePresets"]}
    for path, document in documents.items():
        for line, words in shell_commands(document):
            words = words[1:] if words[0] == "sudo" else words
            check_script(root, path, line, words[0], findings)
            if "--preset" in words and words[words.index("--preset") + 1] not in presets:
                findings.add(path, line, f"no preset {words[words.index('--preset') + 1]} in CMakePresets.json")
            if build and pathlib.PurePosixPath(words[0]).name in PROGRAMS:
                check_program(build, path, line, words, findings)


def check_script(root, path, line, word, findings):
    if "/" not in word or word.startswith(("/", "build/", "./build/", "~", "$", "<")):
        return
    script = root / word
    if not script.is_file():
        findings.add(path, line, f"the command {word} is no file of the repository")
    elif not script.stat().st_mode & 0o100:
        findings.add(path, line, f"{word} is not executable")


def check_program(build, path, line, words, findings):
    """Runs `program subcommands --help`: a subcommand or an option that a document shows must be in that help."""
    program = build / "bin" / pathlib.PurePosixPath(words[0]).name
    subcommands = []
    for word in words[1:]:
        if not re.fullmatch(r"[a-z][a-z-]*", word):
            break
        subcommands.append(word)
    if not program.exists():
        findings.add(path, line, f"{program} is not built")
        return
    command = [str(program), *subcommands, "--help"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    shown = " ".join([program.name, *subcommands])
    if run.returncode != 0:
        findings.add(path, line, f"'{shown} --help' fails: {(run.stderr or run.stdout).strip()[:200]}")
        return
    for option in (word.split("=", 1)[0] for word in words[1:] if word.startswith("--")):
        if option not in run.stdout:
            findings.add(path, line, f"'{shown}' has no option {option} in its --help")


def names_in_code(root, patterns, where):
    """name -> (path, line) of its first use in the code that ships."""
    names = {}
    for path in source_tree.cpp_files(root):
        if not source_tree.is_product(path) or not str(path).startswith(where):
            continue
        text = source_tree.blank_comments(source_tree.read(root, path))
        for pattern in patterns:
            for match in pattern.finditer(text):
                names.setdefault(match.group(1), (path, source_tree.line_of(text, match.start())))
    return names


def check_names(documents, title, used, findings):
    """Every name that the code uses has a row in docs/OPERATING.md, and every row names something the code uses."""
    document = documents.get(OPERATING)
    documented = NAME_ROW.findall(document.section(title)) if document else []
    for name, (path, line) in sorted(used.items()):
        if name not in documented:
            findings.add(path, line, f"`{name}` has no row under '{title}' in {OPERATING}")
    for name in documented:
        if name not in used:
            findings.add(OPERATING, 1, f"`{name}` under '{title}' is nowhere in the code")
    for name in sorted({name for name in documented if documented.count(name) > 1}):
        findings.add(OPERATING, 1, f"`{name}` has two rows under '{title}'")


def check_alerts(root, documents, findings):
    """Every alert has a row that says what to do, and a test in which it fires; every metric in use has a row; what the
    server itself tells of has the name of an alert."""
    document = documents.get(OPERATING)
    if (root / ALERTS).is_file():
        text = source_tree.read(root, ALERTS)
        alerts = {found.group(1): (ALERTS, source_tree.line_of(text, found.start(1))) for found in ALERT.finditer(text)}
        check_names(documents, "Alerts", alerts, findings)
        tests = source_tree.read(root, ALERT_TESTS) if (root / ALERT_TESTS).is_file() else ""
        for name, (path, line) in sorted(alerts.items()):
            if not re.search(rf"alertname: {name}\n\s*exp_alerts:\n\s*- ", tests):
                findings.add(path, line, f"{name} fires in no test of {ALERT_TESTS}")
        own = source_tree.read(root, OWN_ALERTS) if (root / OWN_ALERTS).is_file() else ""
        for match in re.finditer(r'"(Tacit[A-Z]\w+)"', own):
            if match.group(1) not in alerts:
                line = source_tree.line_of(own, match.start())
                findings.add(OWN_ALERTS, line, f"{match.group(1)} is no alert of {ALERTS}")
    documented = set(NAME_ROW.findall(document.section("Metrics"))) if document else set()
    for pattern in USES_METRICS:
        for path in (found for found in source_tree.list_files(root) if found.match(pattern)):
            text = source_tree.read(root, path)
            for match in METRIC_USE.finditer(text):
                if not {match.group(1), re.sub(r"_(bucket|count|sum)$", "", match.group(1))} & documented:
                    line = source_tree.line_of(text, match.start())
                    findings.add(path, line, f"`{match.group(1)}` has no row under 'Metrics' in {OPERATING}")


def check_packages(root, documents, findings):
    """Every package that is installed has a row in docs/DEPENDENCIES.md, and every row names one."""
    if not (root / INSTALLER).is_file():
        return
    lists = re.findall(r"^\w+_packages=\(([^)]*)\)", source_tree.read(root, INSTALLER), re.MULTILINE)
    installed = {package for words in lists for package in words.split()}
    document = documents.get(DEPENDENCIES)
    rows = [line.split("|")[1] for line in document.prose if line.startswith("| `")] if document else []
    documented = {package for row in rows for package in re.findall(r"`([^`]+)`", row)}
    for package in sorted(installed - documented):
        findings.add(INSTALLER, 1, f"{package} has no row in {DEPENDENCIES}")
    for package in sorted(documented - installed):
        findings.add(DEPENDENCIES, 1, f"{package} is not installed by {INSTALLER}")


def check_bodies(documents, findings):
    for path, document in documents.items():
        if path.parts[0] != "docs":
            continue
        words = sum(len(line.split()) for line in document.prose if not HEADING.match(line))
        if words < 20:
            findings.add(path, 1, f"a document of {words} words says nothing")


def check(root, build=None):
    findings = source_tree.Findings()
    documents = read_documents(root)
    check_links(root, documents, findings)
    check_commands(root, build, documents, findings)
    events = names_in_code(root, (LOG_CALL, LOG_WRITE), source_tree.PRODUCT_ROOTS)
    check_names(documents, "Log events", events, findings)
    check_names(documents, "Metrics", names_in_code(root, (METRIC,), ("server/metrics",)), findings)
    check_alerts(root, documents, findings)
    check_packages(root, documents, findings)
    check_bodies(documents, findings)
    return findings


if __name__ == "__main__":
    options = source_tree.arguments(__doc__, build=True)
    source_tree.report(check(options.root, options.build), "docs: links, commands, events, metrics and packages agree")
