"""The command line as a whole: what holds for every command of it, contexts, completion in real shells, the doctor."""

import contextlib
import json
import os
import pathlib
import pty
import re
import shutil
import sqlite3
import subprocess
import tempfile
import unittest

import harness
from harness import BIN, ServerTest, task_text

SOURCE = pathlib.Path(os.environ["TACIT_SOURCE"])
SHELLS = ("bash", "zsh", "fish")
PRIVACY = harness.GAUSSIAN.replace("noise_multiplier = 1.0", "noise_multiplier = 4.0").replace("50.0", "8.0")

#: Every command, with arguments that let it do its work on a server with task `t`. What it answers is another test's
#: matter. None: it ends the task, or goes on until that has ended.
COMMANDS = {
    "init": ["--dir", "{new}"],
    "task create": ["-f", "{task}", "--dry-run"],
    "task list": [],
    "task show": ["t"],
    "task rounds": ["t"],
    "task adjust": ["t", "--noise-multiplier", "5", "--dry-run"],
    "task watch": ["t", "--timeout", "1s"],
    "round show": ["t", "1"],
    "task stop": ["t", "--reason", "enough"],
    "model show": ["t", "--version", "0"],
    "model get": ["t", "-o", "{new}.npz"],
    "model claim": ["{ledger}", "--task", "t"],
    "model trace": ["{ledger}", "--task", "t"],
    "model verify": ["{ledger}", "{ledger}"],
    "privacy show": ["t"],
    "privacy outlook": ["t", "--rounds", "2"],
    "privacy ledger": ["t"],
    "privacy verify": ["{ledger}"],
    "privacy device": ["nobody"],
    "privacy epsilon": ["--noise-multiplier", "1", "--steps", "3", "--delta", "1e-5"],
    "privacy calibrate": ["--target-epsilon", "1", "--steps", "3", "--delta", "1e-5"],
    "privacy forecast": ["--noise-multiplier", "1", "--steps", "3", "--delta", "1e-5"],
    "privacy audit": ["--noise-multiplier", "1", "--delta", "1e-5", "--trials", "1000", "--canaries", "100"],
    "simulate": ["-f", str(SOURCE / "deploy/first-task.toml"), "--devices", "2", "--rounds", "1"],
    "device token create": [],
    "device summary": [],
    "device token list": [],
    "device token revoke": ["00" * 8],
    "device list": [],
    "device show": ["nobody"],
    "model deployment": ["t"],
    "task edge": ["t"],
    "device revoke": ["nobody"],
    "access token create": ["--name", "ada", "--role", "viewer"],
    "access token list": [],
    "access token revoke": ["00"],
    "audit list": [],
    "audit verify": [],
    "whoami": [],
    "alerts": [],
    "metrics": ["ledger"],
    "context add": ["here"],
    "context list": [],
    "context use": ["here"],
    "context remove": ["here"],
    "doctor": [],
    "completion": ["bash"],
    "version": [],
}
#: What the commands above end with where it is not 0: there is no such device or token, an admin is no auditor, a
#: ledger is no model, and nothing happens within a second.
ENDINGS = {"privacy device": 1, "device revoke": 1, "device show": 1, "model claim": 1, "model deployment": 1,
           "model trace": 1, "model verify": 2, "task edge": 1, "device token revoke": 1, "round show": 1,
           "access token revoke": 1, "task watch": 4}


def tacit(*arguments, environment=None, **options):
    command = [str(BIN / "tacit"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=harness.PATIENCE,
                          env={**os.environ, **(environment or {})}, **options)


def commands_in_help(words=()):
    """Every command that does something, as help lists them."""
    text = tacit(*words, "--help").stdout
    listed = re.search(r"^Subcommands:\n((?:  .*\n)+)", text, re.MULTILINE)
    if not listed:
        return {" ".join(words)}
    names = re.findall(r"^  ([a-z]+)", listed[1], re.MULTILINE)
    return set().union(*(commands_in_help((*words, name)) for name in names))


class CliTest(ServerTest):
    def setUp(self):
        super().setUp()
        self.server.create_task(task_text(privacy=PRIVACY))
        (self.server.directory / "new.toml").write_text(task_text(name="u", privacy=PRIVACY))
        self.home = self.server.directory / "home"
        self.environment = {"XDG_CONFIG_HOME": str(self.home)}
        self.connection = ["--context", self.server.root, "--server", f"127.0.0.1:{self.server.ports['api']}"]
        (self.server.directory / "ledger.json").write_text(json.dumps(
            self.server.cli("privacy", "ledger", "t")["data"]))

    def run_tacit(self, *arguments, connection=None):
        return tacit(*(self.connection if connection is None else connection), *arguments,
                     environment=self.environment, cwd=self.server.directory)

    def arguments_of(self, command, place):
        values = {"new": self.server.directory / f"new-{place}", "task": self.server.directory / "new.toml",
                  "ledger": self.server.directory / "ledger.json"}
        return command.split() + [word.format(**values) for word in COMMANDS[command]]

    def envelope(self, result):
        """What a program reads: one line, and nothing else."""
        self.assertEqual(result.stdout.count("\n"), 1, result.stdout)
        document = json.loads(result.stdout)
        self.assertEqual(document.pop("schema"), 1)
        self.assertEqual(len(document), 1, document)
        if "error" in document:
            error = document["error"]
            self.assertEqual(list(error), ["code", "message", "hint"])
            self.assertTrue(all(error.values()), f"each error ends with what to try next: {error}")
        return document


class EveryCommand(CliTest):
    def test_is_in_this_table_and_in_the_document(self):
        commands = commands_in_help()
        self.assertEqual(commands, set(COMMANDS))
        document = (SOURCE / "docs/CLI.md").read_text()
        self.assertEqual({c for c in commands if f"`tacit {c}" not in document}, set())

    def test_answers_with_one_line_of_json_and_says_nothing_to_people_there(self):
        for command in COMMANDS:
            result = self.run_tacit("--json", *self.arguments_of(command, "json"))
            if command == "task watch":  # a line for each change that it sees
                result.stdout = result.stdout.splitlines(keepends=True)[-1]
            with self.subTest(command):
                self.assertEqual(result.returncode, ENDINGS.get(command, 0), result.stdout)
                self.assertEqual("error" in self.envelope(result), result.returncode != 0)
                self.assertEqual(result.stderr, "")

    def test_speaks_to_people_in_lines_and_draws_nothing_where_no_terminal_is(self):
        for command in COMMANDS:
            result = self.run_tacit(*self.arguments_of(command, "text"))
            with self.subTest(command):
                self.assertEqual(result.returncode, ENDINGS.get(command, 0), result.stderr)
                self.assertNotRegex(result.stdout + result.stderr, "[\r\x1b\x08]")
                if result.returncode == 0:
                    self.assertNotEqual(result.stdout, "")
                    self.assertNotIn("tacit: ", result.stderr)
                else:
                    self.assertRegex(result.stderr, r"\Atacit: [^\n]+(\n[^\n]+)*\n  next: [^\n]+\n\Z")

    def test_draws_a_bar_on_a_terminal_alone_and_takes_it_away(self):
        for extra, drawn in (({}, True), ({"NO_COLOR": "1"}, False), ({"CI": "1"}, False), ({"TERM": "dumb"}, False)):
            ours, theirs = pty.openpty()
            plain = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "CI")}
            done = subprocess.run([BIN / "tacit", *self.connection, "model", "get", "t", "-o", "m.npz"], stderr=theirs,
                                  stdout=subprocess.PIPE, cwd=self.server.directory, timeout=harness.PATIENCE,
                                  env={**plain, "TERM": "xterm", **extra})
            os.write(theirs, b"end")
            seen = b""
            while not seen.endswith(b"end"):
                seen += os.read(ours, 4096)
            os.close(ours)
            os.close(theirs)
            self.assertEqual(done.returncode, 0)
            self.assertNotIn(b"\r", done.stdout)
            self.assertEqual(b" % of 1 KiB" in seen, drawn, (extra, seen))
            self.assertTrue(seen.endswith(b"\r\x1b[Kend" if drawn else b"end"), seen)

    def test_refuses_an_option_that_it_does_not_know_and_names_the_help(self):
        for command in COMMANDS:
            arguments = [*self.arguments_of(command, "bad"), "--no-such-option"]
            result, text = self.run_tacit("--json", *arguments), self.run_tacit(*arguments)
            with self.subTest(command):
                self.assertEqual((result.returncode, text.returncode), (2, 2))
                error = self.envelope(result)["error"]
                self.assertEqual(error["hint"], f"tacit {command} --help")
                self.assertEqual((text.stdout, text.stderr),
                                 ("", f"tacit: {error['message']}\n  next: {error['hint']}\n"))

    def test_has_help_with_an_example_of_nothing_but_itself(self):
        for command in COMMANDS:
            with self.subTest(command):
                result = self.run_tacit(*command.split(), "--help")
                self.assertEqual(result.returncode, 0)
                self.assertIn(f"Usage: tacit {command}", result.stdout)

    def test_that_asks_a_server_says_what_to_try_where_there_is_none(self):
        silent = {"init", "context add", "context list", "context use", "context remove", "completion", "version",
                  "simulate", "model verify", *(command for command in COMMANDS
                                if re.match("privacy (verify|epsilon|calibrate|forecast|audit)", command))}
        nowhere = ["--context", self.server.root, "--server", "127.0.0.1:1"]
        for command in set(COMMANDS) - silent:
            arguments = self.arguments_of(command, "nowhere")
            unreachable = self.run_tacit("--json", *arguments, connection=nowhere)
            nobody = self.run_tacit("--json", *arguments, connection=[])
            with self.subTest(command):
                if command == "doctor":  # who finds what is wrong has not failed
                    self.assertEqual((unreachable.returncode, nobody.returncode), (8, 8))
                    continue
                # Watching rides out a server that is away, until its time is over.
                self.assertEqual(unreachable.returncode, 4 if command == "task watch" else 3)
                self.assertEqual(nobody.returncode, 2)
                self.assertIn("error", self.envelope(unreachable))
                self.assertIn("which server?", self.envelope(nobody)["error"]["message"])

    def test_ends_with_an_exit_code_that_is_documented(self):
        codes = re.findall(r"^  k\w+ = (\d+),", (SOURCE / "cli/failure.h").read_text(), re.MULTILINE)
        listed = re.findall(r"^  (\d)  \S", tacit("--help").stdout, re.MULTILINE)
        document = re.findall(r"^\| `(\d)` \|", (SOURCE / "docs/CLI.md").read_text(), re.MULTILINE)
        self.assertEqual(codes, listed)
        self.assertEqual(codes, document)


class Version(unittest.TestCase):
    def test_is_told_by_every_program(self):
        version = re.search(r'kVersion = "([^"]+)"', (SOURCE / "common/base/version.h").read_text())[1]
        for program in ("tacit", "tacitd", "tacit-agent"):
            self.assertEqual(harness.run([program, "--version"]).stdout, f"{program} {version}\n")
        self.assertEqual(json.loads(tacit("--version", "--json").stdout)["data"], {"tacit": version, "server": None})

    def test_of_a_model_is_another_option(self):
        self.assertIn("'latest' or a number", tacit("model", "get", "t", "--version", "x").stderr)


class Contexts(CliTest):
    def context(self, *arguments, connection=(), expect=0):
        result = self.run_tacit("--json", "context", *arguments, connection=connection)
        self.assertEqual(result.returncode, expect, result.stdout)
        return self.envelope(result)

    def test_take_the_place_of_flags(self):
        self.context("add", "here", connection=self.connection)
        file = self.home / "tacit/contexts.json"
        self.assertEqual(file.stat().st_mode & 0o777, 0o600)
        self.assertEqual(self.run_tacit("task", "show", "t", connection=[]).returncode, 0)
        token = self.server.directory / "ada.token"
        self.server.cli("access", "token", "create", "--name", "ada", "--role", "viewer", "--output", token)
        self.context("add", "ada", "--server", f"127.0.0.1:{self.server.ports['api']}", "--ca",
                     "server/pki/ca.crt", "--token-file", "ada.token")

        def role(*connection):
            return json.loads(self.run_tacit("--json", "whoami", connection=connection).stdout)["data"]["role"]

        self.assertEqual((role(), role("--context", "ada")), ("admin", "viewer"))
        self.context("use", "ada")
        self.assertEqual((role(), role("--context", "here")), ("viewer", "admin"))
        listed = {item["name"]: item for item in self.context("list")["data"]["items"]}
        self.assertEqual([name for name in listed if listed[name]["current"]], ["ada"])
        self.assertEqual(listed["ada"]["ca"], str(self.server.root / "pki/ca.crt"), "from wherever it is used")
        self.assertNotIn(token.read_text().strip(), file.read_text())
        self.context("remove", "ada")
        self.assertTrue(token.exists())
        self.assertIn("which server?", self.run_tacit("whoami", connection=[]).stderr)

    def test_of_another_user_are_not_read(self):
        self.context("add", "here", connection=self.connection)
        (self.home / "tacit/contexts.json").chmod(0o666)
        refused = self.run_tacit("--json", "whoami", connection=[])
        self.assertEqual(refused.returncode, 2)
        self.assertIn("chmod 600", self.envelope(refused)["error"]["hint"])


class Completion(unittest.TestCase):
    """In real shells, each with the script that this command printed for it."""

    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="tacit-test-"))
        self.addCleanup(shutil.rmtree, self.directory)
        for name in ("task.toml", "other.txt"):
            (self.directory / name).touch()
        (self.directory / "fleet").mkdir()
        self.scripts = {}
        for shell in SHELLS:
            self.scripts[shell] = self.directory / f"tacit.{shell}"
            self.scripts[shell].write_text(harness.run(["tacit", "completion", shell]).stdout)
        self.environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(self.directory),
                            "XDG_CONFIG_HOME": str(self.directory / "config")}

    def ask(self, *command):
        result = subprocess.run(command, capture_output=True, text=True, cwd=self.directory, env=self.environment,
                                timeout=harness.PATIENCE)
        self.assertEqual((result.returncode, result.stderr), (0, ""), command)
        return result.stdout.splitlines()

    def in_bash(self, *words):
        """As bash calls it: with the line in words, the last of which is being typed."""
        return self.ask("bash", "--norc", "-uc", 'source "$1"; shift; complete -p tacit >/dev/null; COMP_WORDS=("$@"); '
                        'COMP_CWORD=$(($# - 1)); _tacit; printf "%s\\n" "${COMPREPLY[@]}"', "bash",
                        self.scripts["bash"], "tacit", *words)

    def in_zsh(self, *words):
        """With what zsh completes by replaced by what shows how it was called."""
        return self.ask("zsh", "-fc", '_describe() { local one; for one in "${(@P)2}"; do print -r -- "$one"; done }; '
                        '_files() { print -r -- "files $*" }; compset() { print -r -- "without $2" }; '
                        'compdef() { : }; source "$1"; shift; words=("$@"); CURRENT=$#; _tacit', "zsh",
                        self.scripts["zsh"], "tacit", *words)

    def in_fish(self, line):
        return self.ask("fish", "--no-config", "-c", f"source {self.scripts['fish']}; complete -C '{line}'")

    def test_every_script_is_good_syntax(self):
        for shell in SHELLS:
            self.ask(shell, "-n", str(self.scripts[shell]))

    def test_bash_completes_commands_options_values_and_files(self):
        self.assertEqual(self.in_bash("ta"), ["task"])
        self.assertEqual(set(self.in_bash("task", "")),
                         {command.split()[1] for command in COMMANDS if command.startswith("task ")})
        self.assertEqual(self.in_bash("task", "create", "--d"), ["--dry-run"])
        self.assertEqual(self.in_bash("access", "token", "create", "--role", "=", "a"), ["auditor", "admin"])
        self.assertEqual(self.in_bash("task", "create", "-f", "tas"), ["task.toml"])
        self.assertEqual(self.in_bash("init", "--dir", "f"), ["fleet"])

    def test_bash_completes_every_command_of_the_table(self):
        for command in COMMANDS:
            *before, last = command.split()
            self.assertIn(last, self.in_bash(*before, last[:2]), command)

    def test_zsh_is_told_what_each_word_means(self):
        self.assertRegex("\n".join(self.in_zsh("task", "c")), "^create:Start a task$")
        self.assertEqual(self.in_zsh("task", "create", "-f", ""), ["files "])
        self.assertEqual(self.in_zsh("init", "--dir", ""), ["files -/"])
        self.assertEqual(self.in_zsh("access", "token", "create", "--role=a"), ["without *=", "auditor:", "admin:"])

    def test_fish_completes_commands_options_values_and_files(self):
        self.assertEqual(self.in_fish("tacit task cr"), ["create\tStart a task"])
        self.assertIn("--dry-run\tOnly say what it would cost and what to expect",
                      self.in_fish("tacit task create --dr"))
        self.assertEqual(self.in_fish("tacit access token create --role=a"), ["--role=admin", "--role=auditor"])
        self.assertEqual(self.in_fish("tacit task create -f tas"), ["task.toml"])

    def test_contexts_are_known_by_name(self):
        harness.run(["tacit", "init", "--dir", self.directory / "server"])
        subprocess.run([BIN / "tacit", "context", "add", "production", "--context", self.directory / "server"],
                       check=True, env=self.environment, capture_output=True)
        self.assertEqual(self.in_bash("context", "use", "p"), ["production"])
        self.assertEqual(self.in_bash("--context", "pr"), ["production"])


class Doctor(CliTest):
    def examine(self, *arguments, connection=(), expect=0):
        result = self.run_tacit("--json", "doctor", *arguments, connection=connection)
        self.assertEqual(result.returncode, expect, result.stdout)
        data = self.envelope(result)["data"]
        for finding in data["findings"]:
            self.assertEqual(finding["next"] is None, finding["verdict"] == "ok", finding)
        self.assertEqual(data["problems"] > 0, expect != 0)
        return data["findings"]

    def config(self):
        """The server's configuration, with the ports that it took."""
        ports = iter(("agents", "enrolment", "api", "metrics"))
        text = re.sub(r"(?m)^port = 0", lambda _: f"port = {self.server.ports[next(ports)]}",
                      self.server.config.read_text())
        path = self.server.root / "seen.toml"
        path.write_text(text)
        return path

    def only(self, findings, verdict):
        return [(each["area"], each["what"]) for each in findings if each["verdict"] == verdict]

    def test_finds_nothing_wrong_with_a_server_that_runs(self):
        findings = self.examine("--config", self.config())
        self.assertEqual(self.only(findings, "problem"), [])
        self.assertEqual(sum("answers" in each["what"] for each in findings if each["area"] == "ports"), 4)
        self.assertEqual({"configuration", "clock", "certificates", "limits", "disk", "store", "ports", "context"},
                         {each["area"] for each in findings})
        self.assertTrue(any("hash chains hold" in each["what"] for each in findings))

    def test_finds_nothing_wrong_with_the_way_to_it(self):
        findings = self.examine(connection=self.connection)
        self.assertEqual(self.only(findings, "problem") + self.only(findings, "warning"), [])
        self.assertIn(("access", "the server knows you as admin, admin, by your certificate"),
                      self.only(findings, "ok"))

    def test_finds_that_no_server_runs_and_what_holds_its_port(self):
        path = self.config()
        self.server.stop()
        findings = self.examine("--config", path)
        warnings = self.only(findings, "warning")
        self.assertEqual([what.split(": ", 1)[1] for area, what in warnings if area == "ports"],
                         ["nobody listens: tacitd does not run"] * 4)
        other = harness.Server().start()
        self.addCleanup(other.close)
        path.write_text(path.read_text().replace(str(self.server.ports["api"]), str(other.ports["api"])))
        problems = self.only(self.examine("--config", path, expect=8), "problem")
        self.assertEqual([area for area, _ in problems], ["ports"])
        self.assertIn("answers with another certificate", problems[0][1])

    def test_finds_a_damaged_store_and_leaves_it_as_it_is(self):
        self.server.stop()
        database = self.server.data / "tacit.db"
        with contextlib.closing(sqlite3.connect(database)) as connection:
            connection.execute("DROP TRIGGER audit_keeps")
            connection.execute("UPDATE audit SET actor = 'nobody' WHERE sequence = 1")
            connection.commit()
        before = {path: path.stat().st_mtime_ns for path in self.server.data.rglob("*")}
        problems = self.only(self.examine("--config", self.server.config, expect=8), "problem")
        self.assertEqual(problems, [("store", "audit record 1 does not continue record 0: the log was changed")])
        self.assertEqual({path: path.stat().st_mtime_ns for path in self.server.data.rglob("*")}, before)
        database.write_bytes(b"not a database" * 1000)
        problems = self.only(self.examine("--config", self.server.config, expect=8), "problem")
        self.assertEqual([area for area, _ in problems], ["store"])

    def test_finds_keys_that_are_open_and_identities_that_do_not_fit(self):
        key = self.server.root / "pki/server.key"
        key.chmod(0o644)
        problems = self.only(self.examine("--config", self.server.config, expect=8), "problem")
        self.assertEqual([area for area, _ in problems], ["configuration"])
        self.assertIn("server.key is open to every user", problems[0][1])
        key.chmod(0o600)
        other = harness.Server()
        self.addCleanup(other.close)
        stranger = ["--cert", other.root / "operators/admin.crt", "--key", other.root / "operators/admin.key"]
        problems = self.only(self.examine(connection=[*self.connection, *stranger], expect=8), "problem")
        self.assertEqual({area for area, _ in problems}, {"certificates"})
        problems = self.only(self.examine(connection=[*self.connection, "--ca", other.root / "pki/ca.crt"], expect=8),
                             "problem")
        self.assertTrue(any("another CA" in what for _, what in problems), problems)

    def test_finds_that_the_system_allows_too_few_files(self):
        limited = subprocess.run(["bash", "-c", 'ulimit -n 64; exec "$@"', "bash", BIN / "tacit", "--json", "doctor",
                                  "--config", self.server.config], capture_output=True, text=True)
        self.assertEqual(limited.returncode, 8, limited.stdout)
        finding, = [each for each in json.loads(limited.stdout)["data"]["findings"] if each["verdict"] == "problem"]
        self.assertEqual(finding["area"], "limits")
        self.assertIn("LimitNOFILE=", finding["next"])


if __name__ == "__main__":
    unittest.main()
