"""Updates of the largest entries alone, against a real server and from real agents.

Environment: TACIT_KILLS, how often an agent is killed (default 20).
"""

import json
import os
import random
import stat
import subprocess
import time
import unittest

import numpy

import harness
from harness import BIN, GAUSSIAN, NO_PRIVACY, Server, ServerTest, agent_pb2, bits_of, frame, parameters, task_text
from test_rounds import open_round

KILLS = int(os.environ.get("TACIT_KILLS", "20"))
INT32, INT16, INT8 = (agent_pb2.ENCODING_GRID_INT32, agent_pb2.ENCODING_GRID_INT16, agent_pb2.ENCODING_GRID_INT8)
#: A task of 39 parameters, of which a sparse update has 5, and one of 2^20 - 1.
SMALL = {"inputs": 12}
LARGE = {"inputs": 349524}


def sparse_task(top_k=0.15, **options):
    return task_text(**options) + f"[updates]\ntop_k = {top_k}\n"


def model_of(server):
    return max(server.models().items())[1]


class SameBits(unittest.TestCase):
    PLACES = ((0, 5, 6, 21, 38), (1, 5, 7, 8, 9), (34, 35, 36, 37, 38))
    VALUES = ((1000, -2000, 30, 0, -7), (-120, 127, -128, 1, 0), (9, 8, -7, 6, -5))
    WIDTHS = ((INT32, 0), (INT8, 4), (INT16, 3))

    def published_with(self, is_sparse):
        server = Server(binary="tacitd_testing")
        try:
            server.start({"TACIT_TEST_NOISE": "the same for both"})
            server.create_task(sparse_task(**SMALL, privacy=GAUSSIAN, rounds=1))
            devices = [server.enrol(name) for name in ("a", "b", "c")]
            for device, lease, places, values, (encoding, shift) in zip(devices, open_round(devices), self.PLACES,
                                                                        self.VALUES, self.WIDTHS):
                d = parameters(lease)
                self.assertEqual((d, lease.top_k), (39, 5))
                dense = numpy.zeros(d, int)
                dense[list(places)] = values
                sent, bits = (values, bits_of(places, d)) if is_sparse else (dense, None)
                self.assertEqual(device.upload(lease, sent, encoding=encoding, shift=shift, bits=bits).status, 200)
            self.assertEqual(server.published()["counted"], 3)
            return model_of(server).tobytes()
        finally:
            server.close()

    def test_are_published_from_sparse_and_from_dense_updates_with_the_same_entries(self):
        self.assertEqual(self.published_with(is_sparse=True), self.published_with(is_sparse=False))


class SparseUpdates(ServerTest):
    server_options = {"binary": "tacitd_testing",
                      "config_edits": [(r"(?m)^#? *upload_memory *=.*", 'upload_memory = "32MiB"'),
                                       (r"(?m)^#? *max_update_bytes *=.*", 'max_update_bytes = "8MiB"')]}

    def test_malformed_ones_are_refused_with_the_reason_and_the_round_goes_on(self):
        self.server.create_task(sparse_task(**SMALL, size=2, over_selection=2.0, privacy=NO_PRIVACY))
        devices = self.devices("a", "b", "bad")
        leases = open_round(devices)
        lease = leases[2]
        places = (0, 5, 6, 21, 38)
        good = bits_of(places, 39)
        behind = good[:-1] + bytes([good[-1] | 0x80])
        for values, bits, options, answer in (
                ([1] * 5, bits_of(places[:4], 39), {}, (400, "malformed", "4 are one, and it has 5 values")),
                ([1] * 5, bits_of(range(39), 39), {}, (400, "malformed", "39 are one")),
                ([1] * 5, behind, {}, (400, "malformed", "behind its last parameter")),
                ([1] * 4, good, {}, (422, "invalid_argument", "25 bytes")),
                ([1] * 5, good + b"\0", {}, (422, "invalid_argument", "25 bytes")),
                ([lease.grid_radius, 1, 0, 0, 0], good, {}, (422, "invalid_argument", "L2 norm")),
                ([0, lease.grid_radius + 1, 0, 0, 0], good, {}, (422, "invalid_argument", "entry 5")),
                ([1.0] * 5, good, {"encoding": agent_pb2.ENCODING_FLOAT32},
                 (422, "invalid_argument", "sparse must be false with float32")),
                ([1] * 5, good, {"digest": bytes(16)}, (400, "malformed", "digest"))):
            refusal = devices[2].upload(lease, values, **{"encoding": INT32, **options}, bits=bits)
            problem = refusal.problem()
            self.assertEqual((refusal.status, problem["code"]), answer[:2], problem)
            self.assertIn(answer[2], problem["detail"])
        # What its bits are is for the device, and not for whoever reads the log.
        reasons = {event["reason"] for event in self.server.events_named("update_refused")}
        self.assertIn("the bits of a sparse update do not fit its values", reasons)
        for device, other in zip(devices, leases[:2]):
            self.assertEqual(device.upload(other, [1] * 5, encoding=INT32, bits=good).status, 200)
        self.assertEqual(self.server.published()["counted"], 2)

    def test_a_task_that_does_not_take_them_says_so_and_one_that_does_takes_dense_ones_too(self):
        self.server.create_task(task_text(**SMALL, name="dense", size=2, privacy=NO_PRIVACY))
        self.server.create_task(sparse_task(**SMALL, size=2, privacy=NO_PRIVACY))
        devices = self.devices("a", "b")
        leases = open_round(devices, task="dense")
        self.assertEqual(leases[0].top_k, 0)
        refusal = devices[0].upload(leases[0], [1] * 5, encoding=INT32, bits=bits_of(range(5), 39))
        self.assertEqual(refusal.status, 422)
        self.assertIn("takes no sparse updates", refusal.problem()["detail"])
        leases = open_round(devices, task="t")
        self.assertEqual(devices[0].upload(leases[0], numpy.full(39, 0.25)).status, 200)
        places = (3, 4, 20, 30, 38)
        eighth = leases[1].grid_radius // 8
        answer = devices[1].upload(leases[1], [eighth] * 5, encoding=INT32, bits=bits_of(places, 39))
        self.assertEqual(answer.status, 200)
        self.server.published()
        expected = numpy.full(39, 0.125)
        expected[list(places)] += 10 / 8 / 2
        numpy.testing.assert_allclose(model_of(self.server), expected, atol=2e-5)
        self.assertEqual(self.server.task()["top_k"], 5)
        self.assertIsNone(self.server.task("dense")["top_k"])

    def test_is_no_choice_beside_noise_of_the_devices(self):
        text = sparse_task(**SMALL, privacy=NO_PRIVACY + 'population = 9\n[privacy.local]\nmechanism = "gaussian"\n'
                           "noise_multiplier = 8.0\ndelta = 1e-6\n")
        answer = self.server.create_task(text, expect=2)
        self.assertIn("which parameters a device chose would leave it without noise", json.dumps(answer))

    def test_memory_is_taken_for_all_parameters_and_their_bits(self):
        self.server.create_task(sparse_task(**LARGE, top_k=0.01, size=2, privacy=NO_PRIVACY))
        devices = self.devices("a", "b")
        lease = open_round(devices)[0]
        body = frame(lease, [1] * lease.top_k, encoding=INT8, bits=bits_of(range(lease.top_k), parameters(lease)))
        head = f"PUT /v1/tasks/t/rounds/1/update HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        with devices[0].connect() as connection:
            connection.sendall(head.encode() + body[:-1])
            # 4 MiB and 128 KiB, in pages of 2 MiB; 141 KiB travel.
            harness.wait_until(lambda: self.server.metric("tacit_upload_memory_bytes ") == 6 * 2**20, "the memory")
            connection.sendall(body[-1:])
            self.assertIn(b" 200 ", connection.recv(4096))

    def test_a_task_whose_updates_would_not_fit_is_refused(self):
        fits = {"inputs": 699048, "size": 2, "privacy": NO_PRIVACY}  # 8 MiB, but for 20 bytes
        self.assertIn("max_update_bytes", json.dumps(self.server.create_task(sparse_task(**fits), expect=2)))
        self.server.create_task(task_text(**fits))
        devices = self.devices("a", "b")
        lease = open_round(devices)[0]
        self.assertEqual(devices[0].upload(lease, numpy.zeros(parameters(lease))).status, 200, "the header is no part")

    def test_goes_on_where_it_broke(self):
        self.server.create_task(sparse_task(**LARGE, top_k=0.5, size=1, minimum=1, over_selection=2.0,
                                            privacy=NO_PRIVACY))
        devices = self.devices("a", "b")
        lease = open_round(devices)[0]
        d = parameters(lease)
        generator = numpy.random.default_rng(1)
        places = numpy.sort(generator.choice(d, lease.top_k, replace=False))
        values = generator.integers(-9, 9, lease.top_k)
        body = frame(lease, values, encoding=INT32, bits=bits_of(places, d))
        payload = 4 * lease.top_k + (d + 7) // 8
        prefix, payload = body[:-payload], body[-payload:]
        path = f"/v1/tasks/t/rounds/{lease.round}/update"
        with devices[0].connect() as connection:
            head = f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + prefix + payload[:len(payload) * 3 // 4])
            harness.break_off(connection)

        def kept():
            answer = devices[0].request("GET", f"{path}?digest={harness.xxhash.xxh3_128(payload).hexdigest()}")
            return int(answer.headers["Upload-Offset"]) if answer.status == 204 else None
        offset = harness.wait_until(kept, "the server to see the break")
        self.assertGreater(offset, 2**20)
        answer = devices[0].request("PUT", path, prefix + payload[offset:], {"Upload-Offset": str(offset)})
        self.assertEqual(answer.status, 200, answer.body)
        self.assertEqual(self.server.metric("tacit_uploads_resumed_total "), 1)
        self.server.published()
        expected = numpy.zeros(d)
        expected[places] = values * 10 / lease.grid_radius
        numpy.testing.assert_allclose(model_of(self.server), expected, atol=1e-9)


class Agents(ServerTest):
    def run_agent(self, device, *options):
        return subprocess.Popen([BIN / "tacit-agent", "run", "--state", device.state, "--synthetic", "0/4", *options],
                                stderr=subprocess.DEVNULL)

    def task(self, rounds, make=sparse_task, **options):
        text = make(**options, size=1, minimum=1, inputs=60, rounds=rounds, privacy=NO_PRIVACY)
        return text.replace("classes = 3", "classes = 6")

    def bytes_for(self, device, text, name, rounds):
        self.server.create_task(text)
        before = self.server.metric('tacit_received_bytes_total{listener="agents"}')
        agent = self.run_agent(device, "--encoding", "int8", "--rounds-limit", str(rounds))
        self.assertEqual(agent.wait(harness.PATIENCE), 0)
        harness.wait_until(lambda: self.server.task(name)["state"] == "finished", "the end", self.server.process)
        return self.server.metric('tacit_received_bytes_total{listener="agents"}') - before

    def test_send_what_the_lease_takes_and_learn(self):
        device = self.agents("a")[0]
        rounds = 30
        dense = self.bytes_for(device, self.task(rounds, make=task_text, name="dense"), "dense", rounds)
        sparse = self.bytes_for(device, self.task(rounds, top_k=0.1), "t", rounds)
        # 366 bytes, or 36 and 46 of bits; heads and check-ins are alike.
        self.assertAlmostEqual((dense - sparse) / rounds, 366 - 36 - 46, delta=10)
        model = device.state / "model.safetensors"
        self.server.cli("model", "get", "t", "-o", model)
        shown = json.loads(harness.run(["tacit-agent", "--json", "evaluate", "--model", model, "--synthetic", "0/4",
                                        "--split", "test"]).stdout)
        self.assertGreater(shown["data"]["accuracy"], 0.6)
        residual = list((device.state / "residuals").iterdir())
        self.assertEqual(len(residual), 1)
        self.assertEqual(stat.S_IMODE(residual[0].stat().st_mode), 0o600)

    def test_that_are_killed_at_any_moment_go_on(self):
        self.server.create_task(self.task(rounds=10**5, top_k=0.1))
        device = self.agents("a")[0]
        generator = random.Random(1)
        for _ in range(KILLS):
            counted = self.server.task()["rounds_published"]
            agent = self.run_agent(device)
            harness.wait_until(lambda: self.server.task()["rounds_published"] > counted, "an update to count", agent)
            time.sleep(generator.random() / 20)
            agent.kill()
            agent.wait()
            self.assertLessEqual(len(list((device.state / "residuals").glob("t.*"))), 3, "one, and what kills cut off")
        self.assertEqual({r["counted"] for r in self.server.rounds() if r["phase"] == "published"}, {1})
        # What is sent again may be late, and nothing else is ever wrong with it.
        self.assertLessEqual({event["code"] for event in self.server.events_named("update_refused")}, {"gone"})


if __name__ == "__main__":
    unittest.main(verbosity=2)
