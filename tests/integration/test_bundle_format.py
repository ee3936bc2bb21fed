"""Model bundles and leases to the byte: what docs/MODEL_FILES.md says, read and written by code that shares none."""

import base64
import hashlib
import hmac
import json
import pathlib
import shutil
import struct
import subprocess
import tempfile
import time
import unittest

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import harness
from harness import BIN

CHUNK = 65536
TAG = 16
BUNDLE_TYPE = "application/vnd.in-toto+json"
LEASE_TYPE = "application/vnd.tacit.model-lease.v1+json"


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def hmac_sha256(key, message):
    return hmac.new(key, message, hashlib.sha256).digest()


def text(value):
    return struct.pack("<Q", len(value)) + value.encode()


def point(key):
    return key.public_key().public_bytes(serialization.Encoding.X962,
                                         serialization.PublicFormat.UncompressedPoint)


# RFC 9180: mode base, DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM. Every output is one block of HKDF.
KEM_SUITE = b"KEM" + struct.pack(">H", 0x0010)
HPKE_SUITE = b"HPKE" + struct.pack(">HHH", 0x0010, 0x0001, 0x0002)


def extract(suite, salt, label, secret):
    return hmac_sha256(salt, b"HPKE-v1" + suite + label + secret)


def expand(suite, key, label, info, length):
    return hmac_sha256(key, struct.pack(">H", length) + b"HPKE-v1" + suite + label + info + b"\x01")[:length]


def hpke_key(agreed, encapsulated, recipient, info):
    kem = extract(KEM_SUITE, b"", b"eae_prk", agreed)
    shared = expand(KEM_SUITE, kem, b"shared_secret", encapsulated + recipient, 32)
    context = (b"\x00" + extract(HPKE_SUITE, b"", b"psk_id_hash", b"")
               + extract(HPKE_SUITE, b"", b"info_hash", info))
    secret = extract(HPKE_SUITE, shared, b"secret", b"")
    return (expand(HPKE_SUITE, secret, b"key", context, 32), expand(HPKE_SUITE, secret, b"base_nonce", context, 12))


def hpke_open(key, info, sealed):
    peer = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sealed[:65])
    message_key, nonce = hpke_key(key.exchange(ec.ECDH(), peer), sealed[:65], point(key), info)
    return AESGCM(message_key).decrypt(nonce, sealed[65:], b"")


def hpke_seal(recipient, info, plaintext):
    ephemeral = ec.generate_private_key(ec.SECP256R1())
    message_key, nonce = hpke_key(ephemeral.exchange(ec.ECDH(), recipient.public_key()), point(ephemeral),
                                  point(recipient), info)
    return point(ephemeral) + AESGCM(message_key).encrypt(nonce, plaintext, b"")


def pre_auth_encoding(payload_type, payload):
    return b"DSSEv1 %d %s %d %s" % (len(payload_type), payload_type.encode(), len(payload), payload)


def raw(signer):
    return signer.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def sign(signer, payload_type, payload):
    signature = signer.sign(pre_auth_encoding(payload_type, payload))
    return canonical({"payload": base64.b64encode(payload).decode(), "payloadType": payload_type,
                      "signatures": [{"keyid": hashlib.sha256(raw(signer)).hexdigest(),
                                      "sig": base64.b64encode(signature).decode()}]})


def lease_info(lease):
    return (text("tacit.dev/model-lease/v1") + bytes.fromhex(lease["manifest"]) + text(lease["device"])
            + struct.pack("<QQQ", lease["key_epoch"], lease["not_before_ms"], lease["expires_ms"]))


def content_key_id(content_key):
    return hashlib.sha256(hmac_sha256(content_key, b"tacit.dev/model-bundle/v1 content key id")).hexdigest()


def chunks(size):
    return -(-size // CHUNK)


def chunk_cipher(content_key, head, manifest):
    """The cipher of a file's chunks, and a function from an index to nonce and associated bytes."""
    key = hmac_sha256(content_key, text("tacit.dev/model-bundle/v1 payload") + hashlib.sha256(head).digest())
    digest = hashlib.sha256(canonical(manifest)).digest()
    last = chunks(manifest["plaintext_size"]) - 1

    def place(index):
        number = struct.pack("<Q", index)
        return digest[:4] + number, digest + number + bytes([index == last])

    return AESGCM(key), place


class BundleFormatTest(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="tacit-test-"))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)

    def probe(self, what, expect=0):
        done = subprocess.run([BIN / "bundle_probe", what, self.directory], capture_output=True, text=True,
                              timeout=harness.PATIENCE)
        self.assertEqual(done.returncode, expect, done.stderr)
        return done.stderr

    def read(self, name):
        return (self.directory / name).read_bytes()

    def verified(self, envelope, payload_type):
        """The payload of an envelope that the probe's signer has signed."""
        document = json.loads(envelope)
        self.assertEqual(canonical(document), envelope)
        self.assertEqual(document["payloadType"], payload_type)
        key = self.read("signer.pub")
        [signature] = document["signatures"]
        self.assertEqual(signature["keyid"], hashlib.sha256(key).hexdigest())
        payload = base64.b64decode(document["payload"], validate=True)
        ed25519.Ed25519PublicKey.from_public_bytes(key).verify(
            base64.b64decode(signature["sig"], validate=True), pre_auth_encoding(payload_type, payload))
        return payload

    def test_what_the_code_seals_opens_by_hand(self):
        plaintext = bytes(range(256)) * 600 + b"end"
        (self.directory / "plaintext").write_bytes(plaintext)
        self.probe("seal")
        device = serialization.load_der_private_key(self.read("device.der"), None)

        bundle = self.read("model.tacit")
        self.assertEqual(bundle[:8], b"TACITMB1")
        envelope_size, payload_size = struct.unpack("<IQ", bundle[8:20])
        head, payload = bundle[:20 + envelope_size], bundle[20 + envelope_size:]
        self.assertEqual(len(payload), payload_size)
        self.assertEqual(payload_size, len(plaintext) + TAG * chunks(len(plaintext)))

        statement = json.loads(self.verified(head[20:], BUNDLE_TYPE))
        self.assertEqual(statement["_type"], "https://in-toto.io/Statement/v1")
        self.assertEqual(statement["predicateType"], "https://tacit.dev/model-bundle/v1")
        digest = hashlib.sha256(plaintext).hexdigest()
        self.assertEqual(statement["subject"], [{"digest": {"sha256": digest}, "name": "model"}])
        manifest = statement["predicate"]
        self.assertEqual(manifest["plaintext_sha256"], digest)
        self.assertEqual((manifest["model"], manifest["version"], manifest["chunk_size"], manifest["cipher"]),
                         ("har", 7, CHUNK, "aes-256-gcm"))

        lease = json.loads(self.verified(self.read("lease.json"), LEASE_TYPE))
        self.assertEqual(lease["manifest"], hashlib.sha256(canonical(manifest)).hexdigest())
        wrapped = base64.b64decode(lease["wrapped_key"], validate=True)
        content_key = hpke_open(device, lease_info(lease), wrapped)
        self.assertEqual(manifest["content_key"], content_key_id(content_key))

        cipher, place = chunk_cipher(content_key, head, manifest)
        opened = b""
        for index in range(chunks(len(plaintext))):
            nonce, associated = place(index)
            opened += cipher.decrypt(nonce, payload[index * (CHUNK + TAG):(index + 1) * (CHUNK + TAG)], associated)
        self.assertEqual(opened, plaintext)

        with self.assertRaises(InvalidTag):
            hpke_open(device, lease_info({**lease, "expires_ms": lease["expires_ms"] + 1}), wrapped)
        (self.directory / "signer.pub").write_bytes(raw(ed25519.Ed25519PrivateKey.generate()))
        with self.assertRaises((InvalidSignature, AssertionError)):
            self.verified(head[20:], BUNDLE_TYPE)

    def made_by_hand(self, plaintext, **changes):
        """Writes what the probe opens; `changes` are of the manifest or of the lease."""
        device = ec.generate_private_key(ec.SECP256R1())
        signer = ed25519.Ed25519PrivateKey.generate()
        content_key = bytes(range(32))
        (self.directory / "device.der").write_bytes(device.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        (self.directory / "signer.pub").write_bytes(raw(signer))
        digest = hashlib.sha256(plaintext).hexdigest()
        now = int(time.time() * 1000)
        manifest = {"chunk_size": CHUNK, "cipher": "aes-256-gcm", "content_key": content_key_id(content_key),
                    "device": "pump-3", "engine_format": 1, "made_at_ms": now,
                    "minimum_version": 1, "model": "har", "plaintext_sha256": digest,
                    "plaintext_size": len(plaintext), "predecessor": "04" * 32, "receipt": "05" * 32,
                    "schema": "02" * 32, "task": "har", "version": 1, "watermark_commitment": "07" * 32}
        if len(plaintext) > 7:
            manifest.update({"detector_calibration": "06" * 32, "detectors_size": 7})
        manifest.update({name: value for name, value in changes.items() if name in manifest})
        statement = {"_type": "https://in-toto.io/Statement/v1", "predicate": manifest,
                     "predicateType": "https://tacit.dev/model-bundle/v1",
                     "subject": [{"digest": {"sha256": digest}, "name": "model"}]}
        envelope = sign(signer, BUNDLE_TYPE, canonical(statement))
        sealed_size = len(plaintext) + TAG * chunks(len(plaintext))
        head = b"TACITMB1" + struct.pack("<IQ", len(envelope), sealed_size) + envelope
        cipher, place = chunk_cipher(content_key, head, manifest)
        payload = b""
        for index in range(chunks(len(plaintext))):
            nonce, associated = place(index)
            payload += cipher.encrypt(nonce, plaintext[index * CHUNK:(index + 1) * CHUNK], associated)
        (self.directory / "model.tacit").write_bytes(head + payload)
        lease = {"device": "pump-3", "expires_ms": now + 3_600_000, "key_epoch": 4,
                 "manifest": hashlib.sha256(canonical(manifest)).hexdigest(), "not_before_ms": now - 60_000}
        lease.update({name: value for name, value in changes.items() if name in lease and name not in manifest})
        lease["wrapped_key"] = base64.b64encode(hpke_seal(device, lease_info(lease), content_key)).decode()
        (self.directory / "lease.json").write_bytes(sign(signer, LEASE_TYPE, canonical(lease)))

    def test_what_is_made_by_hand_is_opened_by_the_code(self):
        for size in (1, CHUNK, 2 * CHUNK + 5):
            plaintext = bytes(size)
            self.made_by_hand(plaintext)
            self.probe("open")
            self.assertEqual(self.read("opened"), plaintext)

    def test_what_is_made_by_hand_and_may_not_be_used_is_refused(self):
        for changes, message in (({"device": "pump-4"}, "was made for device 'pump-4'"),
                                 ({"version": 0}, "'version' must be 1 to"),
                                 ({"model": "ecg"}, "of model 'ecg'"),
                                 ({"expires_ms": int(time.time() * 1000) - 1}, "the lease ended at"),
                                 ({"not_before_ms": int(time.time() * 1000) + 3_000_000}, "the lease begins at"),
                                 ({"key_epoch": 5}, "the lease is for key 5 of this device, which has key 4"),
                                 ({"plaintext_size": 5}, "the bundle announces a payload of")):
            with self.subTest(message):
                self.made_by_hand(b"models", **changes)
                self.assertIn(message, self.probe("open", expect=1))
                self.assertFalse((self.directory / "opened").exists())


if __name__ == "__main__":
    unittest.main()
