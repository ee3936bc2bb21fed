"""How a model gets to a device, sealed: the real server, the real agent, and a device that is spoken for by hand.

What a lease and a bundle hold is read here by another library, from the words of docs/MODEL_FILES.md.
"""

import base64
import hashlib
import json
import shutil
import struct
import subprocess
import time
import unittest

import numpy
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

import harness
from harness import BIN, NO_PRIVACY, ServerTest, agent_pb2, parameters, task_text
from test_bundle_format import (chunk_cipher, chunks, content_key_id, hpke_open, lease_info, point, pre_auth_encoding)

CHUNK = 65536
INPUTS = 30_000  # a model of 360 kB: some chunks


def deployed_task(lease="1h", copies="shared", **options):
    text = task_text(size=1, minimum=1, privacy=NO_PRIVACY, **options)
    return text + f'[deployment]\nlease = "{lease}"\ncopies = "{copies}"\n'


def opened_envelope(text, payload_type, signer):
    """What stands in an envelope that the signer has signed."""
    envelope = json.loads(text)
    payload = base64.b64decode(envelope["payload"])
    assert envelope["payloadType"] == payload_type, envelope
    [signature] = envelope["signatures"]
    assert signature["keyid"] == hashlib.sha256(signer).hexdigest()
    ed25519.Ed25519PublicKey.from_public_bytes(signer).verify(base64.b64decode(signature["sig"]),
                                                              pre_auth_encoding(payload_type, payload))
    return json.loads(payload)


def opened_bundle(file, signer, content_key):
    """The manifest and the plaintext of a bundle."""
    assert file[:8] == b"TACITMB1"
    envelope_size, payload_size = struct.unpack("<IQ", file[8:20])
    head = file[:20 + envelope_size]
    manifest = opened_envelope(head[20:], "application/vnd.in-toto+json", signer)["predicate"]
    assert len(file) == len(head) + payload_size
    cipher, place = chunk_cipher(content_key, head, manifest)
    plaintext, at = b"", len(head)
    for index in range(chunks(manifest["plaintext_size"])):
        nonce, associated = place(index)
        size = min(CHUNK, manifest["plaintext_size"] - index * CHUNK) + 16
        plaintext += cipher.decrypt(nonce, file[at:at + size], associated)
        at += size
    assert hashlib.sha256(plaintext).hexdigest() == manifest["plaintext_sha256"]
    return manifest, plaintext


class Delivery(ServerTest):
    server_options = {}

    def setUp(self):
        super().setUp()
        self.trainer = self.server.enrol("trainer")

    def publish(self, number=1, name="t"):
        lease = self.trainer.lease(name)
        self.assertEqual(lease.round, number)
        values = numpy.random.default_rng(number).normal(0, 0.01, parameters(lease))
        self.assertEqual(self.trainer.upload(lease, values).status, 200)
        self.server.published(number, name)

    def ask(self, device, key=None, highest=0, task="t", tier="file", raw=None):
        wish = agent_pb2.ModelLeaseRequest(device_key=raw if raw is not None else point(key), highest_version=highest,
                                           key_tier=tier)
        return device.request("POST", f"/v1/tasks/{task}/lease", wish.SerializeToString())

    def leased(self, *arguments, **options):
        answer = self.ask(*arguments, **options)
        self.assertEqual(answer.status, 200, answer.body)
        return agent_pb2.ModelLeaseResponse.FromString(answer.body)

    def bundle(self, device, version, headers=None, task="t"):
        return device.request("GET", f"/v1/tasks/{task}/bundles/{version}", headers=headers)

    # ---- tacit-agent ----

    def agent(self, device, what, *arguments, expect=0, under=()):
        command = [*under, BIN / "tacit-agent", "model", what, "--state", device.state, "--task", "t", "--json",
                   *arguments]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=harness.PATIENCE)
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        answer = json.loads(done.stdout)
        return answer["data"] if expect == 0 else answer["error"]

    def fetch(self, device, *arguments, **options):
        return self.agent(device, "fetch", *arguments, **options)

    def show(self, device, *arguments, **options):
        return self.agent(device, "show", *arguments, **options)

    def restart_for(self, device):
        """A server of these tests has other ports each time."""
        self.server.restart()
        path = device.state / "identity.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "agents_port": self.server.ports["agents"]}))

    def held(self, device):
        return device.state / "delivery" / "t"


class ByHand(Delivery):
    def test_a_device_opens_what_it_was_given_and_finds_the_model_in_it(self):
        self.server.create_task(deployed_task(inputs=INPUTS))
        device, key = self.server.enrol("cam"), ec.generate_private_key(ec.SECP256R1())
        self.assertEqual(self.ask(device, key).status, 503, "before anything was published")
        self.publish()
        reply = self.leased(device, key)
        self.assertEqual((reply.version, reply.key_epoch), (1, 1))
        lease = opened_envelope(reply.lease, "application/vnd.tacit.model-lease.v1+json", reply.signer)
        self.assertEqual((lease["device"], lease["manifest"]), ("cam", reply.manifest_digest.hex()))
        self.assertAlmostEqual(lease["expires_ms"] / 1000, time.time() + 3600, delta=300)
        self.assertAlmostEqual(reply.renew_after_ms, 1800_000, delta=1)
        content_key = hpke_open(key, lease_info(lease), base64.b64decode(lease["wrapped_key"]))
        file = self.bundle(device, 1).body
        self.assertEqual(len(file), reply.bundle_bytes)
        manifest, plaintext = opened_bundle(file, reply.signer, content_key)
        self.assertEqual(manifest["content_key"], content_key_id(content_key))
        self.assertEqual((manifest["task"], manifest["version"]), ("t", 1))
        self.assertNotIn("device", manifest)
        # A graph has the weights first of all; as one copy is for all, it has them as they were published.
        weights = self.server.models()[1].astype("<f4")[:3 * INPUTS].tobytes()
        self.assertIn(weights, plaintext)
        self.assertNotIn(weights[:64], file)

    def test_a_copy_of_its_own_is_another_for_each_device_and_opens_for_nobody_else(self):
        text = deployed_task(copies="own", inputs=200).replace('kind = "softmax"', 'kind = "mlp"\nhidden = [64]')
        self.server.create_task(text)
        self.publish()
        files, content = [], []
        for name in ("a", "b"):
            device, key = self.server.enrol(name), ec.generate_private_key(ec.SECP256R1())
            reply = self.leased(device, key)
            lease = opened_envelope(reply.lease, "application/vnd.tacit.model-lease.v1+json", reply.signer)
            content.append(hpke_open(key, lease_info(lease), base64.b64decode(lease["wrapped_key"])))
            files.append(self.bundle(device, 1).body)
            manifest, _ = opened_bundle(files[-1], reply.signer, content[-1])
            self.assertEqual(manifest["device"], name)
        self.assertNotEqual(content[0], content[1])
        self.assertNotEqual(files[0], files[1])

    def test_a_download_goes_on_after_the_server_was_killed(self):
        self.server.create_task(deployed_task(inputs=INPUTS))
        self.publish()
        device, key = self.server.enrol("cam"), ec.generate_private_key(ec.SECP256R1())
        self.leased(device, key)
        whole = self.bundle(device, 1)
        self.assertEqual(whole.status, 200)
        first = self.bundle(device, 1, {"Range": "bytes=0-99999"})
        self.assertEqual((first.status, len(first.body)), (206, 100_000))
        self.server.kill()
        self.server.restart()
        rest = self.bundle(device, 1, {"Range": "bytes=100000-", "If-Range": first.headers["ETag"]})
        self.assertEqual(rest.status, 206)
        self.assertEqual(first.body + rest.body, whole.body)
        self.assertEqual(self.bundle(device, 1, {"If-None-Match": whole.headers["ETag"]}).status, 304)
        self.assertEqual(self.bundle(device, 1, {"Range": "bytes=999999999-"}).status, 416)
        self.assertGreaterEqual(self.server.metric("tacit_bundle_sent_bytes_total"), len(rest.body))

    def test_who_may_not_have_a_lease_gets_none_and_is_told_why(self):
        self.server.create_task(deployed_task())
        self.server.create_task(task_text(name="plain", size=1, minimum=1, privacy=NO_PRIVACY))
        self.publish()
        device, key = self.server.enrol("cam"), ec.generate_private_key(ec.SECP256R1())
        self.assertEqual(self.ask(device, key, task="none").status, 404)
        self.assertIn("[deployment]", self.ask(device, key, task="plain").problem()["detail"])
        self.assertEqual(self.bundle(device, 1).status, 404, "without a lease")
        spoilt = point(key)[:-1] + bytes([point(key)[-1] ^ 1])
        for bad in (b"", b"\x04" + bytes(64), bytes(65), point(key)[:-1], spoilt):
            with self.subTest(bad=bad.hex()):
                self.assertEqual(self.ask(device, raw=bad).status, 422)
        self.assertEqual(self.ask(device, key, tier="t" * 33).status, 422)
        self.assertEqual(device.request("POST", "/v1/tasks/t/lease", b"\xff" * 10).status, 400)
        self.assertEqual(device.request("POST", "/v1/tasks/t/lease", bytes(2000)).status, 413)
        ahead = self.ask(device, key, highest=2)
        self.assertEqual(ahead.status, 409)
        self.assertIn("was this server set back?", ahead.problem()["detail"])
        self.assertEqual(self.server.query("SELECT count(*) FROM device_keys"), [(0,)], "none of them counts")
        self.leased(device, key)
        self.assertEqual(self.bundle(device, 2).status, 404)
        self.assertEqual(self.server.metric('tacit_model_leases_total{outcome="given"}'), 1)
        self.server.cli("device", "revoke", "cam")
        self.assertEqual(self.ask(device, key).status, 403)
        self.assertEqual(self.bundle(device, 1).status, 403)

    def test_another_key_is_refused_until_a_new_token_admits_the_device_anew(self):
        self.server.create_task(deployed_task())
        self.publish()
        device = self.server.enrol("cam")
        first, second = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        self.assertEqual(self.leased(device, first).key_epoch, 1)
        refused = self.ask(device, second)
        self.assertEqual(refused.status, 409)
        self.assertIn("a new enrolment token for its name", refused.problem()["detail"])
        self.server.kill()
        self.server.restart()
        self.assertEqual(self.ask(device, second).status, 409, "it is on disk")
        self.assertEqual(self.leased(device, first).key_epoch, 1)
        shutil.rmtree(device.state)
        device = self.server.enrol("cam")
        self.assertEqual(self.leased(device, second).key_epoch, 2)
        self.assertEqual(self.ask(device, first).status, 409)


class Killed(Delivery):
    server_options = {"binary": "tacitd_testing"}

    def test_a_server_that_is_killed_before_it_answers_has_recorded_the_key(self):
        self.server.create_task(deployed_task())
        self.publish()
        device, key = self.server.enrol("cam"), ec.generate_private_key(ec.SECP256R1())
        self.server.stop()
        self.server.restart({"TACIT_TEST_KILL_AT": "model_lease"})
        with self.assertRaises(OSError):
            self.ask(device, key)
        self.server.wait_for_death()
        self.server.restart()
        other = ec.generate_private_key(ec.SECP256R1())
        self.assertEqual(self.ask(device, other).status, 409)
        self.assertEqual(self.leased(device, key).key_epoch, 1)


class ByTheAgent(Delivery):
    def setUp(self):
        super().setUp()
        self.device = self.server.enrol_agent("cam")

    def test_fetches_renews_and_takes_the_next_version_in_place_of_the_last(self):
        self.server.create_task(deployed_task(inputs=INPUTS))
        self.assertEqual(self.fetch(self.device, expect=3)["code"], "unavailable", "nothing was published")
        self.publish()
        first = self.fetch(self.device)
        self.assertEqual((first["version"], first["installed"], first["key_tier"]), (1, True, "file"))
        self.assertIn("readable_file", first["gaps"])
        again = self.fetch(self.device)
        self.assertEqual((again["version"], again["installed"]), (1, False))
        self.assertGreaterEqual(again["expires"], first["expires"])
        self.publish(2)
        second = self.fetch(self.device)
        self.assertEqual((second["version"], second["installed"]), (2, True))
        self.assertEqual({each.name for each in self.held(self.device).iterdir()},
                         {"current", second["manifest"] + ".tacit"})
        self.assertEqual(self.show(self.device)["version"], 2)
        shown = self.server.cli("device", "show", "cam")["data"]
        self.assertEqual((shown["model_key"]["tier"], shown["model_key"]["epoch"]), ("file", 1))
        self.assertEqual([(each["task"], each["version"], each["leases"]) for each in shown["models"]], [("t", 2, 3)])
        self.assertEqual(self.server.cli("model", "deployment", "t")["data"]["items"],
                         [{"version": 2, "devices": 1, "running_leases": 1, "leases": 3}])
        for path in (self.device.state / "delivery", self.held(self.device)):
            self.assertEqual(path.stat().st_mode & 0o077, 0, path)

    def test_a_byte_that_changed_on_the_disk_is_found_and_the_bundle_fetched_anew(self):
        self.server.create_task(deployed_task(inputs=INPUTS))
        self.publish()
        path = self.held(self.device) / (self.fetch(self.device)["manifest"] + ".tacit")
        whole = path.read_bytes()
        for place in (0, 30, len(whole) // 2, len(whole) - 1):
            with self.subTest(place=place):
                path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1:])
                self.show(self.device, expect=self.refusal_of(place))
                self.assertFalse(self.fetch(self.device)["installed"])
                self.assertEqual(path.read_bytes(), whole)
        path.write_bytes(whole[:-70_000])
        self.assertEqual(self.show(self.device, expect=1)["code"], "data_loss")

    def refusal_of(self, place):
        # Bytes that are no head are malformed, which is a usage error for a command that reads files by name.
        result = subprocess.run([BIN / "tacit-agent", "model", "show", "--state", self.device.state, "--task", "t"],
                                capture_output=True, text=True, timeout=harness.PATIENCE)
        self.assertNotEqual(result.returncode, 0, place)
        self.assertNotEqual(result.returncode, 5, "a fault of the agent")
        return result.returncode

    def test_a_part_that_was_changed_costs_the_attempt_and_leaves_the_last_good_version(self):
        self.server.create_task(deployed_task(inputs=INPUTS))
        self.publish()
        first = self.fetch(self.device)
        self.publish(2)
        # What one copy for all is, another device can say.
        manifest = self.leased(self.server.enrol("other"), ec.generate_private_key(ec.SECP256R1())).manifest_digest
        part = self.held(self.device) / (manifest.hex() + ".part")
        part.write_bytes(b"TACITMB1" + bytes(100_000))
        refused = self.fetch(self.device, expect=self.code_of_bad_part(part))
        self.assertIn(refused["code"], ("malformed", "data_loss", "unauthenticated"))
        self.assertFalse(part.exists())
        self.assertEqual(self.show(self.device)["version"], first["version"])
        self.assertEqual(self.fetch(self.device)["version"], 2)

    def code_of_bad_part(self, part):
        kept = part.read_bytes()
        result = subprocess.run([BIN / "tacit-agent", "model", "fetch", "--state", self.device.state, "--task", "t"],
                                capture_output=True, text=True, timeout=harness.PATIENCE)
        self.assertNotIn(result.returncode, (0, 5), result.stderr)
        self.assertFalse(part.exists())
        part.write_bytes(kept)
        return result.returncode

    def test_a_part_that_is_good_is_gone_on_with(self):
        self.server.create_task(deployed_task(inputs=INPUTS))
        self.publish()
        other = self.server.enrol("other")
        reply = self.leased(other, ec.generate_private_key(ec.SECP256R1()))
        whole = self.bundle(other, 1).body
        self.held(self.device).mkdir(parents=True, mode=0o700)
        (self.device.state / "delivery").chmod(0o700)
        (self.held(self.device) / (reply.manifest_digest.hex() + ".part")).write_bytes(whole[:200_000])
        before = self.server.metric("tacit_bundle_sent_bytes_total")
        self.assertEqual(self.fetch(self.device)["version"], 1)
        self.assertEqual(self.server.metric("tacit_bundle_sent_bytes_total") - before, len(whole) - 200_000)

    def test_an_agent_that_is_killed_anywhere_has_the_old_version_or_the_new(self):
        self.server.create_task(deployed_task(inputs=INPUTS, rounds=20))
        self.publish()
        self.fetch(self.device)
        for attempt in range(6):
            self.publish(attempt + 2)
            agent = subprocess.Popen([BIN / "tacit-agent", "model", "fetch", "--state", self.device.state, "--task",
                                      "t"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(0.02 * attempt)
            agent.kill()
            agent.wait()
            self.assertIn(self.show(self.device)["version"], (attempt + 1, attempt + 2))
            self.assertEqual(self.fetch(self.device)["version"], attempt + 2)

    def test_does_not_go_back_with_a_server_that_was_set_back(self):
        self.server.create_task(deployed_task())
        self.publish()
        self.fetch(self.device)
        self.server.stop()
        backup = self.server.directory / "backup"
        shutil.copytree(self.server.data, backup)
        self.restart_for(self.device)
        self.publish(2)
        self.assertEqual(self.fetch(self.device)["version"], 2)
        self.server.kill()
        shutil.rmtree(self.server.data)
        shutil.copytree(backup, self.server.data)
        self.restart_for(self.device)
        refused = self.fetch(self.device, expect=1)
        self.assertEqual(refused["code"], "conflict")
        self.assertIn("was this server set back?", refused["message"])
        self.assertEqual(self.show(self.device)["version"], 2, "what it has it keeps")

    def test_does_not_take_models_of_another_signer(self):
        self.server.create_task(deployed_task())
        self.publish()
        self.fetch(self.device)
        self.server.stop()
        key = self.server.root / "pki/models.key"
        key.unlink()
        self.restart_for(self.device)
        self.assertTrue(key.exists(), "made at the start that finds none")
        self.assertEqual(key.stat().st_mode & 0o777, 0o600)
        refused = self.fetch(self.device, expect=1)
        self.assertEqual(refused["code"], "permission_denied")
        self.assertIn("does not trust", refused["message"])
        self.assertEqual(self.show(self.device)["version"], 1)
        public = self.server.directory / "public.pem"
        public.write_bytes(subprocess.run(["openssl", "pkey", "-in", key, "-pubout"], check=True,
                                          capture_output=True).stdout)
        self.assertEqual(self.fetch(self.device, "--signer", public)["version"], 1, "its owner says so")

    def test_a_device_that_is_revoked_gets_no_next_lease(self):
        self.server.create_task(deployed_task(lease="10s"))
        self.publish()
        self.fetch(self.device)
        self.server.cli("device", "revoke", "cam")
        self.assertEqual(self.fetch(self.device, expect=1)["code"], "permission_denied")
        gone = harness.wait_until(lambda: self.ended(), "the lease to end", patience=30)
        self.assertEqual(gone["code"], "gone")

    def ended(self):
        done = subprocess.run([BIN / "tacit-agent", "model", "show", "--state", self.device.state, "--task", "t",
                               "--json"], capture_output=True, text=True, timeout=harness.PATIENCE)
        return json.loads(done.stdout).get("error")

    def test_a_record_of_another_device_opens_nothing(self):
        self.server.create_task(deployed_task())
        self.publish()
        other = self.server.enrol_agent("other")
        mine, theirs = self.fetch(self.device), self.fetch(other)
        self.assertEqual(mine["manifest"], theirs["manifest"], "one copy for all")
        shutil.copy(self.held(other) / "current", self.held(self.device) / "current")
        self.assertEqual(self.show(self.device, expect=1)["code"], "permission_denied")
        record = self.held(self.device) / "current"
        record.write_bytes(record.read_bytes()[:-1])
        self.assertEqual(self.show(self.device, expect=1)["code"], "data_loss")
        self.assertEqual(self.fetch(self.device)["version"], 1, "a record that is damaged is replaced")


if __name__ == "__main__":
    unittest.main()
