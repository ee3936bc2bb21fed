#!/usr/bin/env python3
"""Plants a violation of every rule in a small tree and sees that the check finds it; the good tree has none."""

import json
import pathlib
import tempfile
import unittest

import check_docs
import check_headers
import check_layers
import check_lint
import compile_commands
import check_tidy
import source_tree

LAYERS = """# comment
common/base:
common/net: common/base
dp: common/base
server/store: common/base
"""
GOOD = {
    "cmake/layers.txt": LAYERS,
    "CMakePresets.json": '{"configurePresets": [{"name": "release"}]}\n',
    "common/base/CMakeLists.txt": "tacit_library(tacit_base\n  SOURCES a.cc\n  HEADERS a.h log.h)\n",
    "common/base/a.h": "#pragma once\n",
    "common/base/log.h": "#pragma once\n",
    "common/base/a.cc": '#include "common/base/a.h"\nint A() {\n  return 1;\n}\n',
    "common/net/CMakeLists.txt": "tacit_library(tacit_net SOURCES n.cc DEPS tacit_base)\n",
    "common/net/n.cc": '#include <boost/asio.hpp>\n#include "common/base/a.h"\n',
    "dp/CMakeLists.txt": "tacit_library(tacit_dp SOURCES d.cc DEPS tacit_base Eigen3::Eigen)\n",
    "dp/d.cc": '#include <Eigen/Core>\n#include "common/base/a.h"\n',
    "server/store/CMakeLists.txt": "tacit_library(tacit_store SOURCES s.cc PRIVATE_DEPS tacit_base SQLite::SQLite3)\n",
    "server/store/s.cc": "#include <sqlite3.h>\nclass Store : private DurableMinter {};\n",
    "tests/t.cc": '#include "dp/d.h"\n#include "common/net/n.h"\n',
}


class Tree(unittest.TestCase):
    """A tree of GOOD with the files of one test put over it."""

    def tree(self, **files):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        root = pathlib.Path(directory.name)
        for name, text in {**GOOD, **files.get("files", {})}.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return root

    def assert_found(self, findings, *parts):
        for part in parts:
            self.assertTrue(findings.contains(part), f"'{part}' is not among {findings.lines}")


class LayersTest(Tree):
    def check(self, files):
        return check_layers.check(self.tree(files=files))

    def test_good_tree_has_no_findings(self):
        self.assertEqual(self.check({}).lines, [])

    def test_planted_includes_are_found(self):
        plants = {
            '#include "common/net/n.h"\n': "dp may not include common/net",
            '#include "tests/t.h"\n': "nothing that ships may include tests",
            '#include "d.h"\n': "which is no file of a layer",
            "#include <boost/asio/post.hpp>\n": "sockets, TLS streams",
            "#include <openssl/evp.h>\n": "cryptography is common/crypto's",
            "#include <sqlite3.h>\n": "only the store",
            '#include "tacit/v1/agent.pb.h"\n': "only the codec",
            '  #  include "common/base/log.h"\n': "dp is pure",
            "#include <fstream>\n": "dp is pure",
            "#include <random>\n": "dp is pure",
            "auto t = std::chrono::steady_clock::now();\n": "steady_clock::now is an input",
            "class Fake : DurableMinter {};\n": "only server/store may say",
        }
        for text, message in plants.items():
            with self.subTest(text):
                files = {"dp/d.cc": text, "common/net/n.h": "", "tests/t.h": ""}
                self.assert_found(self.check(files), "dp/d.cc:1: ", message)

    def test_only_the_audit_may_keep_a_ledger_in_memory(self):
        self.assertEqual(self.check({"dp/audit.cc": "class Memory : private DurableMinter {};\n"}).lines, [])
        self.assert_found(self.check({"dp/audit.h": "class Memory : private DurableMinter {};\n"}), "only server/store")

    def test_includes_in_comments_are_not_includes(self):
        text = '// #include "tests/t.h"\n/*\n#include <sqlite3.h>\n*/\nconst char* s = "steady_clock::now";\n'
        self.assertEqual(self.check({"dp/d.cc": text}).lines, [])

    def test_a_directory_without_a_line_is_found(self):
        self.assert_found(self.check({"server/new/x.cc": ""}), "server/new has no line in cmake/layers.txt")

    def test_planted_link_edges_are_found(self):
        plants = {
            "DEPS tacit_net": "dp may not link common/net",
            "DEPS tacit_base PRIVATE_DEPS OpenSSL::Crypto": "tacit_dp links OpenSSL::Crypto",
            "DEPS tacit_test_support": "which no directory that ships makes",
            "DEPS tacit_schema": "tacit_dp links tacit_schema",
            "DEPS ${LIBRARIES}": "write link edges out",
        }
        for deps, message in plants.items():
            with self.subTest(deps):
                files = {"dp/CMakeLists.txt": f"tacit_library(tacit_dp SOURCES d.cc\n  {deps})\n"}
                self.assert_found(self.check(files), message)
        direct = "tacit_library(tacit_dp SOURCES d.cc)\ntarget_link_libraries(tacit_dp PUBLIC tacit_net)\n"
        self.assert_found(self.check({"dp/CMakeLists.txt": direct}), "dp may not link common/net")

    def test_a_cycle_and_an_unknown_name_in_the_list_are_found(self):
        cycle = "common/base: dp\ndp: common/base\n"
        self.assert_found(self.check({"cmake/layers.txt": cycle}), "a cycle: common/base -> dp -> common/base")
        self.assert_found(self.check({"cmake/layers.txt": LAYERS + "cli: nowhere\n"}), "cli may use nowhere")


class TidyTest(Tree):
    def check(self, files):
        return check_tidy.check(self.tree(files=files))

    def test_good_tree_has_no_findings(self):
        self.assertEqual(self.check({}).lines, [])

    def test_planted_text_is_found(self):
        plants = {
            "int a; \n": "white space",
            "\tint a;\n": "a tab",
            "int a;": "no newline",
            "// " + "x" * 120 + "\n": "123 columns",
            "// TO" + "DO later\n": "unfinished work",
            "co_spawn(detached);\n": "TaskGroup",
            "std::cout << 1;\n": "libraries return text",
            "throw 1;\n": "our code throws nowhere",
            "using namespace std;\n": "name what is used",
            "class ConnectionManager {\n};\n": "a name that says nothing",
        }
        for text, message in plants.items():
            with self.subTest(text):
                self.assert_found(self.check({"dp/d.cc": text}), "dp/d.cc:1: ", message)

    def test_words_in_comments_and_strings_are_not_code(self):
        text = '// throw, detached\nconst char* s = R"(std::cout)";\nusing namespace std::chrono_literals;\n'
        self.assertEqual(self.check({"dp/d.cc": text}).lines, [])

    def test_long_functions_are_found_wherever_they_stand(self):
        body = "  step();\n" * 69
        good = "int F(int a) {\n" + body[: -len("  step();\n")] + "}\n"
        self.assertEqual(self.check({"dp/d.cc": good}).lines, [])
        heads = {
            "F": "namespace a {\nResult<int> F(int a) const {\n%s}\n}\n",
            "C": "class C {\n  C() : a_(1) {\n%s}\n};\n",
            "A::G": "auto A::G(std::vector<int> v) -> int {\n%s}\n",
            "TEST": "TEST(Subject, Behaviour) {\n%s}\n",
        }
        for name, head in heads.items():
            with self.subTest(name):
                self.assert_found(self.check({"dp/d.cc": head % body}), f"{name} has 71 lines")

    def test_long_tables_and_classes_are_no_functions(self):
        table = "constexpr std::array<int, 100> kTable{{\n" + "  1,\n" * 100 + "}};\n"
        self.assertEqual(self.check({"dp/d.cc": table}).lines, [])

    def test_long_files_are_found(self):
        self.assert_found(self.check({"dp/d.h": "\n" * 351}), "the limit of a header file is 350")

    def test_broken_scripts_are_found(self):
        self.assert_found(self.check({"deploy/x.sh": "if true\n"}), "bash -n")
        self.assert_found(self.check({".ci/run": "#!/usr/bin/env bash\nfi\n"}), ".ci/run:1: bash -n")
        self.assert_found(self.check({"tests/x.py": "def f(:\n"}), "python:")

    def test_private_keys_are_found(self):
        key = "-----BEGIN PRIVATE" + " KEY-----\n" + "A" * 64 + "\n"
        self.assert_found(self.check({"tests/key.txt": key}), "a private key")


class DocsTest(Tree):
    GOOD_OPERATING = "# Operating\n\n" + "words " * 20 + "\n\n## Log events\n\n| `started` | x |\n"
    LOGGING = 'void F() {\n  log_.Info("started", {});\n}\n'

    def check(self, files):
        return check_docs.check(self.tree(files=files))

    def test_good_tree_has_no_findings(self):
        files = {
            "README.md": "# T\n[a](docs/OPERATING.md#log-events) [b](https://x)\n```sh\nctest --preset release\n```\n",
            "docs/OPERATING.md": self.GOOD_OPERATING,
            "dp/d.cc": self.LOGGING,
        }
        self.assertEqual(self.check(files).lines, [])

    def test_dead_links_are_found(self):
        readme = {"README.md": "# T\n[a](docs/NONE.md)\n[b](#nowhere)\n`[c](not/a/link)`\n"}
        findings = self.check(readme)
        self.assert_found(findings, "README.md:2: the link to docs/NONE.md", "README.md:3: the link to #nowhere")
        self.assertEqual(len(findings), 2)

    def test_commands_that_do_not_exist_are_found(self):
        readme = {"README.md": "# T\n```sh\nCI=1 deploy/none.sh --now\ncmake --preset debug\n./tests/plain.sh\n```\n"}
        findings = self.check({**readme, "tests/plain.sh": "true\n"})
        self.assert_found(findings, "README.md:3: the command deploy/none.sh", "no preset debug", "is not executable")

    def test_events_and_metrics_must_agree_in_both_directions(self):
        self.assert_found(self.check({"dp/d.cc": self.LOGGING}), "dp/d.cc:2: `started` has no row")
        unused = {"docs/OPERATING.md": self.GOOD_OPERATING}
        self.assert_found(self.check(unused), "`started` under 'Log events' is nowhere")
        write = {"dp/d.cc": 'void F() {\n  log.Write(LogLevel::kInfo, "written", {});\n}\n'}
        self.assert_found(self.check(write), "`written` has no row")
        metric = {"server/metrics/m.cc": 'auto a = Make("tacit_a_total");\n'}
        self.assert_found(self.check(metric), "`tacit_a_total` has no row under 'Metrics'")

    def test_alerts_need_a_row_and_a_test_and_metrics_that_exist(self):
        rule = "groups:\n  - alert: Broken\n    expr: a:tacit_b:c + tacit_lost_count > 1\n"
        alert = {"deploy/prometheus/alerts.yml": rule}
        findings = self.check(alert)
        self.assert_found(findings, "alerts.yml:2: `Broken` has no row under 'Alerts'", "Broken fires in no test",
                          "alerts.yml:3: `tacit_lost_count` has no row under 'Metrics'")
        self.assertEqual(len(findings), 3)
        tested = {"deploy/prometheus/alerts_test.yml": "- alertname: Broken\n  exp_alerts:\n    - exp_labels: {}\n"}
        self.assertFalse([line for line in self.check({**alert, **tested}).lines if "no test" in line])
        own = {"server/api/alerts.cc": 'Alert a{"TacitLost"};\n'}
        self.assert_found(self.check({**alert, **own}), "alerts.cc:1: TacitLost is no alert of")

    def test_packages_must_agree_in_both_directions(self):
        installer = {"deploy/install-deps.sh": "build_packages=(\n  cmake git\n)\n"}
        rows = "# Dependencies\n" + "words " * 20 + "\n| `cmake`, `rust` | x |\n"
        findings = self.check({**installer, "docs/DEPENDENCIES.md": rows})
        self.assert_found(findings, "git has no row", "rust is not installed")
        self.assertEqual(len(findings), 2)

    def test_empty_documents_are_found(self):
        self.assert_found(self.check({"docs/PRIVACY.md": "# Privacy\n"}), "says nothing")


class HeadersTest(Tree):
    def test_a_header_that_is_not_listed_is_found(self):
        findings = source_tree.Findings()
        check_headers.check_listed(self.tree(), findings)
        self.assertEqual(findings.lines, [])
        check_headers.check_listed(self.tree(files={"dp/new.h": "", "common/base/g.h": ""}), findings)
        self.assert_found(findings, "dp/new.h:1: not in HEADERS", "common/base/g.h:1: not in HEADERS")


    def test_a_source_that_does_not_begin_with_its_header_is_found(self):
        findings = source_tree.Findings()
        good = {"dp/a.h": "", "dp/a.cc": '// Why.\n#include "dp/a.h"\n#include <span>\n'}
        check_headers.check_first(self.tree(files=good), findings)
        self.assertEqual(findings.lines, [])
        late = {"dp/a.h": "", "dp/a.cc": '#include <span>\n#include "dp/a.h"\n'}
        check_headers.check_first(self.tree(files=late), findings)
        self.assert_found(findings, 'dp/a.cc:1: begin with #include "dp/a.h"')


    def test_what_a_header_uses_and_nothing_of_it_includes_is_found(self):
        def check(text, other=""):
            findings = source_tree.Findings()
            check_headers.check_foreign(self.tree(files={"dp/a.h": text, "dp/b.h": other}), findings)
            return findings

        self.assertEqual(check("#include <string>\nstd::string A();\n").lines, [])
        self.assertEqual(check('#include "dp/b.h"\nstd::string A();\n', "#include <string>\n").lines, [])
        self.assert_found(check("#include <vector>\nstd::string A();\n"), "dp/a.h:2: std::string needs <string>")
        self.assert_found(check("#include <chrono>\nstd::chrono::seconds A();\nasio::any_io_executor B();\n"),
                          "dp/a.h:3: asio::any_io_executor needs a header of <boost/asio/...>")
        self.assert_found(check("#include <bitset>\nstd::bitset<8> A();\n"),
                          "dp/a.h:2: std::bitset is not in the table")

    def test_a_header_that_does_not_compile_alone_is_found_also_where_sources_are_compiled_together(self):
        unity = "build/dp/Unity/unity_0.cxx"
        root = self.tree(files={"dp/a.h": "#pragma once\nint A();\n", "dp/a.cc": '#include "dp/a.h"\n',
                                "dp/b.h": "#pragma once\nDigest B();\n", "dp/b.cc": '#include "dp/b.h"\n'})
        root = root.resolve()
        (root / unity).parent.mkdir(parents=True)
        (root / unity).write_text("".join(f'#include "{root}/dp/{name}.cc"\n' for name in "ab"))
        command = f"ccache clang++-19 -std=c++20 -I{root} -c {unity} -o x"
        (root / "build/compile_commands.json").write_text(
            json.dumps([{"directory": str(root), "file": unity, "command": command}]))
        findings = source_tree.Findings()
        check_headers.check_compile(root, root / "build", findings)
        self.assert_found(findings, "dp/b.h:2")
        self.assertEqual(len(findings.lines), 1, findings.lines)


class LintKeyTest(Tree):
    def test_the_key_changes_with_every_input(self):
        paths = [pathlib.PurePosixPath(".clang-tidy"), pathlib.PurePosixPath("common/base/a.cc")]

        def key(flags=("-c",), tool=b"1", **files):
            return compile_commands.key_of(self.tree(files={".clang-tidy": "", **files}), paths, flags, tool)

        self.assertEqual(key(), key())
        others = {
            key(flags=("-d",)),
            key(tool=b"2"),
            key(**{".clang-tidy": "Checks: -*\n"}),
            key(**{"common/base/a.h": "#pragma once\nint B();\n"}),
            key(**{"common/base/a.cc": "int A();\n"}),
        }
        self.assertEqual(len(others), 5)
        self.assertNotIn(key(), others)


class LintTest(Tree):
    def lint(self, files):
        config = {".clang-tidy": "Checks: '-*,modernize-use-nullptr'\nWarningsAsErrors: '*'\n"}
        root = self.tree(files={**config, **files}).resolve()
        paths = [pathlib.PurePosixPath(path) for path in files]
        findings = source_tree.Findings()
        findings.lines.extend(check_lint.lint(root, root, paths, ("-std=c++20",)))
        return findings

    def test_a_fault_is_found_in_each_file_of_a_unit(self):
        good, bad = "static int* a = nullptr;\nint* A() { return a; }\n", "int* B() { return 0; }\n"
        self.assertEqual(self.lint({"dp/a.cc": good}).lines, [])
        findings = self.lint({"dp/a.cc": good, "dp/b.cc": bad, "dp/c.cc": bad.replace("B", "C")})
        self.assert_found(findings, "dp/b.cc:1:19", "dp/c.cc:1:19")

    def test_files_whose_names_clash_are_looked_at_apart(self):
        one = "namespace { const int kLimit = 1; }\nint A() { return kLimit; }\n"
        other = "namespace { const long kLimit = 2; }\nlong* B() { return kLimit > 1 ? 0 : nullptr; }\n"
        self.assert_found(self.lint({"dp/a.cc": one, "dp/b.cc": other}), "dp/b.cc:2:33")

    def test_a_file_that_does_not_compile_is_a_finding(self):
        self.assert_found(self.lint({"dp/a.cc": "int A() { return kMissing; }\n"}), "dp/a.cc:1:18")


if __name__ == "__main__":
    unittest.main()
