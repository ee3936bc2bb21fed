"""Whose a model is that was found: claims by a mark and traces to a device, on the real server by the real command.

What a copy of a device is, is reckoned here a second time, from the words of docs/EDGE.md.
"""

import hashlib
import hmac
import json
import struct
import subprocess
import unittest

import numpy

from harness import NO_PRIVACY, ServerTest, parameters, request, task_text

MARK = "[watermark]\ntriggers = 60\nsteps = 1000\nlearning_rate = 0.01\n"
WIDTHS = (40, 64, 32, 3)
STEPS = (1.0442737, 1.1387886, 1.2418578, 1.3542556, 1.4768262, 1.6104903, 1.7562522, 1.9152066)


def marked_task(**options):
    text = task_text(inputs=WIDTHS[0], size=1, minimum=1, privacy=NO_PRIVACY, **options)
    return text.replace('kind = "softmax"', 'kind = "mlp"\nhidden = [64, 32]')


def derive(key, *parts):
    label = b""
    for part in parts:
        if isinstance(part, int):
            label += struct.pack("<Q", part)
        else:
            label += struct.pack("<Q", len(part)) + part.encode()
    return hmac.new(key, label, hashlib.sha256).digest()


def words_of(key, count):
    """AES-128 of 0, 1, 2, ... as big-endian numbers, by another program."""
    blocks = b"".join(i.to_bytes(16, "big") for i in range((count + 1) // 2))
    result = subprocess.run(["openssl", "enc", "-aes-128-ecb", "-nopad", "-K", key[:16].hex()], input=blocks,
                            capture_output=True, check=True)
    return struct.unpack(f"<{len(blocks) // 8}Q", result.stdout)[:count]


def code_of(copy_key, group, channels):
    words = words_of(derive(copy_key, "group", group), channels + (channels + 15) // 16)
    order = list(range(channels))
    for i in range(channels, 1, -1):
        j = words[i - 1] * i >> 64
        order[i - 1], order[j] = order[j], order[i - 1]
    levels = [words[channels + i // 16] >> (i % 16 * 4) & 15 for i in range(channels)]
    factors = numpy.array([numpy.float32(STEPS[level % 8]) * (0.5 if level < 8 else 1.0) for level in levels])
    return order, factors


def layers_of(flat):
    layers, at = [], 0
    for inputs, outputs in zip(WIDTHS, WIDTHS[1:]):
        weight = flat[at:at + inputs * outputs].reshape(outputs, inputs)
        at += inputs * outputs
        layers.append((weight, flat[at:at + outputs]))
        at += outputs
    return layers


def copy_for(owner, flat, device, task="t", version=1):
    key = derive(owner, "tacit-copy/1", task, version, device)
    copied, order, factors = [], list(range(WIDTHS[0])), numpy.ones(WIDTHS[0])
    layers = layers_of(flat)
    for i, (weight, bias) in enumerate(layers):
        rows, row_factors = list(range(len(bias))), numpy.ones(len(bias))
        if i + 1 < len(layers):
            rows, row_factors = code_of(key, i, len(bias))
        weight = weight[rows][:, order] * row_factors[rows][:, None] / factors[order][None, :]
        copied += [weight.ravel(), bias[rows] * row_factors[rows]]
        order, factors = rows, row_factors
    return numpy.concatenate(copied)


def safetensors(flat):
    header, at = {"__metadata__": {"tacit_model": "tacit-mlp/1:" + ",".join(map(str, WIDTHS))}}, 0
    for i, (weight, bias) in enumerate(layers_of(flat)):
        for name, tensor in (("weight", weight), ("bias", bias)):
            header[f"layer{i}.{name}"] = {"dtype": "F32", "shape": list(tensor.shape),
                                          "data_offsets": [at, at + 4 * tensor.size]}
            at += 4 * tensor.size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + flat.astype("<f4").tobytes()


class Ownership(ServerTest):
    def publish(self, text, name="t"):
        self.server.create_task(text)
        device = self.server.enrol(f"of-{name}")
        lease = device.lease(name)
        self.assertEqual(device.upload(lease, numpy.zeros(parameters(lease))).status, 200)
        self.server.published(name=name)
        return self.server.models(name)[1]

    def file(self, flat, name="found.safetensors"):
        path = self.server.directory / name
        path.write_bytes(safetensors(flat))
        return path

    def test_a_published_model_supports_a_claim_and_its_evidence_holds_without_the_server(self):
        flat = self.publish(marked_task() + MARK)
        found = self.file(flat)
        evidence = self.server.directory / "evidence.json"
        claim = self.server.cli("model", "claim", found, "--task", "t", "--version", "1", "-o", evidence)["data"]
        self.assertEqual((claim["matched"], claim["triggers"], claim["supports_claim"]), (60, 60, True))
        self.assertLess(claim["p_value"], 1e-28)
        self.assertTrue(claim["log"]["holds"])
        self.assertNotIn("opening", claim)
        commitment = claim["commitment"]
        self.assertEqual((commitment["action"], commitment["target"]), ("watermark_commit", "task/t/models/1"))
        self.server.stop()
        checked = self.server.cli("model", "verify", found, evidence)["data"]
        self.assertEqual((checked["matched"], checked["supports_claim"]), (60, True))
        self.assertEqual(checked["log"]["head"], claim["log"]["head"])
        text = self.server.cli("model", "verify", self.file(numpy.roll(flat, 7), "other"), evidence, expect=1)["data"]
        self.assertFalse(text["supports_claim"])
        changed = json.loads(evidence.read_text())
        changed["claim"]["opening"]["mark_key"] = "00" * 32
        evidence.write_text(json.dumps(changed))
        refusal = self.server.cli("model", "verify", found, evidence, expect=1)
        self.assertIn("not what was committed to", refusal["error"]["message"])

    def test_a_claim_without_an_earlier_commitment_is_refused(self):
        self.publish(marked_task() + MARK)
        unmarked = self.publish(marked_task(name="plain"), "plain")
        refusal = self.server.cli("model", "claim", self.file(unmarked), "--task", "plain", expect=1)
        self.assertIn("no table [watermark]", refusal["error"]["message"])
        refusal = self.server.cli("model", "claim", self.file(unmarked), "--task", "t", "--version", "0", expect=1)
        self.assertIn("the audit log has no commitment", refusal["error"]["message"])

    def test_a_model_without_the_mark_supports_no_claim(self):
        self.publish(marked_task() + MARK)
        other = numpy.random.default_rng(1).normal(size=sum((i + 1) * o for i, o in zip(WIDTHS, WIDTHS[1:])))
        claim = self.server.cli("model", "claim", self.file(other), "--task", "t", expect=1)["data"]
        self.assertFalse(claim["supports_claim"])
        self.assertGreater(claim["p_value"], 1e-6)

    def test_the_commitment_stands_since_before_the_model_could_be_seen(self):
        self.publish(marked_task() + MARK)
        (committed,), = self.server.query("SELECT at FROM audit WHERE action = 'watermark_commit'")
        (created,), = self.server.query("SELECT created_at FROM models WHERE version = 1")
        self.assertLessEqual(committed, created)
        marked = self.server.wait_for_event("model_marked")
        published = self.server.wait_for_event("round_published")
        self.assertLess(self.server.log.index(marked), self.server.log.index(published))
        self.assertEqual(marked["matched"], 60)
        self.assertEqual(self.server.metric('tacit_model_mark_match{task="t"}'), 1.0)
        self.assertEqual(self.server.task()["watermark"]["triggers"], 60)
        self.assertEqual((self.server.data / "owner.key").stat().st_mode & 0o777, 0o600)

    def test_a_copy_names_its_device_also_with_noise_and_as_int8(self):
        flat = self.publish(marked_task() + MARK)
        for i in range(20):
            self.server.enrol(f"d{i}")
        owner = (self.server.data / "owner.key").read_bytes()
        copy = copy_for(owner, flat, "d13")
        noisy = copy + numpy.random.default_rng(2).normal(size=copy.size) * 0.1 * copy.std()
        scale = abs(copy).max() / 127
        for suspect in (copy, noisy, numpy.round(copy / scale) * scale):
            trace = self.server.cli("model", "trace", self.file(suspect), "--task", "t")["data"]
            self.assertEqual((trace["named"], trace["devices"]), ("d13", 21))
            self.assertLess(trace["false_accusation"], 1e-9)
            self.assertGreater(trace["runner_up"]["log10_p"], -4)
        trace = self.server.cli("model", "trace", self.file(flat), "--task", "t", expect=1)["data"]
        self.assertIsNone(trace["named"])
        self.assertAlmostEqual(trace["similarity"], 1.0)
        # The mark is in the copy, too.
        claim = self.server.cli("model", "claim", self.file(copy), "--task", "t")["data"]
        self.assertEqual(claim["matched"], 60)

    def test_who_may_not_is_refused(self):
        flat = self.publish(marked_task() + MARK)
        token = self.server.cli("access", "token", "create", "--name", "ada", "--role", "scientist")["data"]["secret"]
        for what in ("claims", "traces"):
            answer = self.server.operator("POST", f"/api/v1/tasks/t/{what}", b"x")
            self.assertEqual(answer.status, 400, answer.body)
            answer = request(self.server.ports["api"], "POST", f"/api/v1/tasks/t/{what}", b"x",
                             {"Authorization": f"Bearer {token}"}, ca=self.server.root / "pki/ca.crt")
            self.assertEqual(answer.status, 403, answer.body)
        answer = self.server.operator("POST", "/api/v1/tasks/t/claims", bytes(600 * 1024) + safetensors(flat))
        self.assertEqual(answer.status, 413)


if __name__ == "__main__":
    unittest.main()
