"""Memory stays within the limits that were checked at start, whatever devices and operators do."""

import concurrent.futures
import unittest

import numpy

import harness
from harness import FED_AVG, NO_PRIVACY, ServerTest, parameters, task_text
from test_rounds import open_round

MIB = 1 << 20
# 300,003 parameters are 1.14 MiB a model, and 22.9 MiB of task memory.
LARGE = 100_000


class Memory(ServerTest):
    server_options = {"config_edits": [(r"(?m)^#? *upload_memory *=.*", 'upload_memory = "8MiB"'),
                                       (r"(?m)^#? *max_update_bytes *=.*", 'max_update_bytes = "4MiB"'),
                                       (r"(?m)^#? *task_memory *=.*", 'task_memory = "48MiB"')]}

    def held(self):
        """What only ending the process would give back, in bytes."""
        with open(f"/proc/{self.server.process.pid}/status", encoding="utf-8") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon"))

    def large_task(self, name="t", rounds=60):
        return task_text(name=name, size=1, minimum=1, rounds=rounds, inputs=LARGE, privacy=NO_PRIVACY)

    def publish(self, device, name="t"):
        lease = device.lease(name)
        self.assertEqual(device.upload(lease, numpy.full(parameters(lease), 1e-6 * lease.round)).status, 200)
        harness.wait_until(lambda: self.server.task(name)["rounds_published"] >= lease.round, "the round",
                           self.server.process)

    def test_downloads_that_nobody_reads_keep_no_model_in_memory(self):
        self.server.create_task(self.large_task())
        device = self.devices("a")[0]
        self.publish(device)
        before = self.held()
        unread = []
        for _ in range(48):
            lease = device.lease()
            connection = device.connect()
            connection.sendall(f"GET /v1/models/{lease.model_digest.hex()} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            self.assertTrue(connection.recv(1))
            unread.append(connection)
            self.publish(device)
        self.assertLess(self.held() - before, 24 * MIB)  # what the task may hold; the models were 55
        for connection in unread:
            connection.close()

    def test_tasks_that_have_ended_give_their_memory_back(self):
        device = self.devices("a")[0]
        held = []
        for number in range(14):
            name = f"t{number}"
            self.server.create_task(self.large_task(name, rounds=1))
            self.publish(device, name)
            harness.wait_until(lambda: self.server.task(name)["state"] == "finished", "the end", self.server.process)
            held.append(self.held())
        self.assertLess(held[-1] - held[3], 24 * MIB)  # what one may hold while it runs; ten kept 40

    def test_tasks_created_at_once_share_the_limit(self):
        body = [self.large_task(f"t{number}") for number in range(8)]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            statuses = list(pool.map(lambda text: self.server.operator(
                "POST", "/api/v1/tasks", text.encode(), {"Content-Type": "application/toml"}).status, body))
        self.assertEqual(sorted(statuses), [201] * 2 + [422] * 6)

    def test_a_dry_run_is_refused_for_what_the_task_would_be_refused_for(self):
        path = self.server.directory / "task.toml"
        self.server.create_task(self.large_task("one"))
        self.server.create_task(self.large_task("two"))
        for why, text, status in (("max_update_bytes", task_text(inputs=400_000, privacy=NO_PRIVACY), 2),
                                  ("task_memory", self.large_task("three"), 2),
                                  ("exists already", task_text(name="one"), 1)):
            path.write_text(text)
            tried = self.server.cli("task", "create", "-f", path, "--dry-run", expect=status)["error"]["message"]
            self.assertIn(why, tried)
            made = self.server.cli("task", "create", "-f", path, expect=status)["error"]["message"]
            self.assertEqual(made, tried)

    def test_a_start_with_more_tasks_than_the_limit_is_refused_with_what_to_raise(self):
        self.server.create_task(self.large_task("one"))
        self.server.create_task(self.large_task("two"))
        self.server.stop()
        text = self.server.config.read_text()
        self.server.config.write_text(text.replace('task_memory = "48MiB"', 'task_memory = "30MiB"'))
        failed = harness.subprocess.run([harness.BIN / "tacitd", "--config", self.server.config], capture_output=True,
                                        text=True, timeout=harness.PATIENCE)
        self.assertEqual(failed.returncode, 1)
        self.assertIn("raise [limits] task_memory", failed.stderr)

    def test_exports_that_nobody_reads_take_no_more_than_their_share(self):
        self.server.create_task(self.large_task())
        self.publish(self.devices("a")[0])
        before = self.held()
        path = "/api/v1/tasks/t/models/latest/content"
        unread = []
        for _ in range(12):
            connection = harness.connect(self.server.ports["api"], ca=self.server.root / "pki/ca.crt",
                                         certificate=self.server.root / "operators/admin.crt",
                                         key=self.server.root / "operators/admin.key")
            # More than the sockets' buffers take: the server is left holding one of them.
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode() * 16)
            unread.append(connection)

        def refused():
            answer = self.server.operator("GET", path)
            return answer if answer.status == 503 else None
        answer = harness.wait_until(refused, "the memory to be used up", self.server.process)
        self.assertIn("Retry-After", answer.headers)
        self.assertLess(self.held() - before, 24 * MIB)
        for connection in unread:
            connection.close()
        harness.wait_until(lambda: self.server.operator("GET", path).status == 200, "it to be given back",
                           self.server.process)


if __name__ == "__main__":
    unittest.main(verbosity=2)
