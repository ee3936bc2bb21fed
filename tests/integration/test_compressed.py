"""Updates that travel compressed, against a real server and from a real agent."""

import ctypes
import json
import math
import re
import struct
import subprocess
import time
import unittest

import numpy

import harness
from harness import BIN, GAUSSIAN, NO_PRIVACY, ServerTest, agent_pb2, bits_of, frame, parameters, task_text
from test_resume import CuttingRelay
from test_rounds import open_round
from test_sparse import model_of

INT32, INT8 = agent_pb2.ENCODING_GRID_INT32, agent_pb2.ENCODING_GRID_INT8
RECEIVED = 'tacit_received_bytes_total{listener="agents"}'


def zstd_task(privacy=NO_PRIVACY, **options):
    return task_text(privacy=privacy, **options) + '[updates]\ncompression = "zstd"\ntop_k = 0.5\n'


def zstd(data, window=17):
    """One frame with a window of 2^`window` bytes, by the system's library."""
    library = ctypes.CDLL("libzstd.so.1")
    library.ZSTD_createCCtx.restype = ctypes.c_void_p
    library.ZSTD_compress2.restype = ctypes.c_size_t
    context = ctypes.c_void_p(library.ZSTD_createCCtx())
    library.ZSTD_CCtx_setParameter(context, 101, window)
    room = ctypes.create_string_buffer(len(data) + 1000)
    size = library.ZSTD_compress2(context, room, ctypes.c_size_t(len(room)), data, ctypes.c_size_t(len(data)))
    library.ZSTD_freeCCtx(context)
    return room.raw[:size]


def blocks_of(size, byte=0, last=True):
    """Of one byte again and again, at most 128 KiB each."""
    blocks = b""
    while size > 0:
        count = min(size, 1 << 17)
        size -= count
        blocks += struct.pack("<I", (count << 3) | 2 | (last and size == 0))[:3] + bytes([byte])
    return blocks


def small_frame(size, window=17, last=True):
    """A frame that unpacks to so many zeros, with a window of 2^`window` bytes."""
    return struct.pack("<IBB", 0xFD2FB528, 0, (window - 10) << 3) + blocks_of(size, last=last)


def compressed(plain, payload_bytes, packed=None):
    """The body `plain`, with its payload packed; without, as who compresses others sends it."""
    header = agent_pb2.UpdateHeader()
    header.ParseFromString(plain[4:len(plain) - payload_bytes])
    header.zstd = packed is not None
    packed = plain[len(plain) - payload_bytes:] if packed is None else packed
    text = header.SerializeToString()
    return struct.pack("<I", len(text)) + text + packed


class TooLargeToUnpack(ServerTest):
    server_options = {"config_edits": [(r"(?m)^#? *upload_memory *=.*", 'upload_memory = "8MiB"'),
                                       (r"(?m)^#? *max_update_bytes *=.*", 'max_update_bytes = "8MiB"')]}

    def test_in_whole_pages_are_refused_with_their_task(self):
        fits = {"inputs": 600_000, "size": 2}  # 6.9 MiB, and 656 KiB, of 8 MiB; but a page has 2 MiB
        self.assertIn("upload_memory", json.dumps(self.server.create_task(zstd_task(**fits), expect=2)))
        self.server.create_task(task_text(**fits, privacy=NO_PRIVACY))


class CompressedUpdates(ServerTest):
    server_options = {"binary": "tacitd_testing",
                      "config_edits": [(r"(?m)^#? *upload_memory *=.*", 'upload_memory = "32MiB"'),
                                       (r"(?m)^#? *max_update_bytes *=.*", 'max_update_bytes = "8MiB"')]}

    def open(self, *names, **options):
        self.server.create_task(zstd_task(**{"size": 2, "inputs": 30000, "over_selection": 3.0, **options}))
        devices = self.devices(*names)
        leases = open_round(devices)
        self.assertTrue(leases[0].takes_zstd)
        return devices, leases[0], parameters(leases[0])

    def received(self):
        """The bytes that were received, once the requests before are counted: each is when its answer is on its way."""
        def settled():
            before = self.server.metric(RECEIVED)
            time.sleep(0.05)
            return before if self.server.metric(RECEIVED) == before else None
        return harness.wait_until(settled, "the requests to be counted")

    def counted(self, send):
        """The answer, and what it adds to the bytes that were received."""
        before = self.received()
        answer = send()
        harness.wait_until(lambda: self.server.metric(RECEIVED) > before, "the request to be counted")
        return answer, self.received() - before

    def test_count_like_others_and_show_nobody_how_small_they_are(self):
        devices, lease, d = self.open("a", "b", "c", size=3, over_selection=1.0)
        values = (numpy.arange(d) % 5).astype("<i4")
        plain = frame(lease, values, encoding=INT32)
        packed = compressed(plain, 4 * d, zstd(values.tobytes()))
        self.assertLess(len(packed), d)
        counts = []
        places = numpy.arange(lease.top_k) * 2
        sparse = frame(lease, [7] * lease.top_k, encoding=INT8, bits=bits_of(places, d))
        for device, body in ((devices[0], packed), (devices[1], compressed(plain, 4 * d)),
                             (devices[2], compressed(sparse, lease.top_k + (d + 7) // 8,
                                                     zstd(bytes([7]) * lease.top_k + bits_of(places, d))))):
            answer, count = self.counted(lambda device=device, body=body: device.upload_frame("t", 1, body))
            self.assertEqual(answer.status, 200)
            counts.append(count)
        self.assertEqual(counts[0], counts[1])
        self.assertGreater(counts[0], 4 * d)
        self.assertEqual(counts[0] - counts[2], 4 * d - lease.top_k - (d + 7) // 8)
        ended = {event["bytes_in"] for event in self.server.events_named("request") if event.get("method") == "PUT"}
        self.assertEqual(ended, {int(count) for count in counts})
        self.server.published()
        expected = 2 * values.astype(float)
        expected[places] += 7
        numpy.testing.assert_allclose(model_of(self.server), expected * 10 / lease.grid_radius / 3, atol=1e-6)

    def test_that_are_refused_unread_show_nobody_how_small_they_are(self):
        devices, lease, d = self.open("a", "b", "late")
        plain = frame(lease, numpy.zeros(d), encoding=INT32)
        for device in devices[:2]:
            self.assertEqual(device.upload_frame("t", 1, plain).status, 200)
        self.server.published()
        # It is over a moment after the store says so.
        harness.wait_until(lambda: devices[2].upload_frame("t", 1, plain).status == 410, "the round to be over")
        counts = set()
        for size in (9_000, 99_000, 101_000):
            body = compressed(plain, 4 * d, bytes(size))
            answer, count = self.counted(lambda body=body: devices[2].upload_frame("t", 1, body))
            self.assertEqual(answer.status, 410)
            counts.add(count)
        self.assertEqual(len(counts), 1, counts)
        self.server.stop()
        config = self.server.config
        config.write_text(re.sub(r"(?m)^max_update_bytes *=.*", 'max_update_bytes = "64KiB"', config.read_text()))
        self.server.restart()
        lease = open_round(devices)[2]
        for size in (60_000, 99_000, 101_000):
            answer = devices[2].upload_frame("t", lease.round, compressed(plain, 4 * d, bytes(size)))
            self.assertEqual(answer.status, 413, answer.body)
        self.assertEqual(len({event["reason"] for event in self.server.events_named("update_refused")}), 1)

    def test_count_for_what_the_task_takes_and_no_device_says(self):
        self.server.create_task(task_text(size=2, privacy=NO_PRIVACY))
        device = self.devices("a", "b")
        lease = open_round(device)[0]
        d = parameters(lease)
        plain = frame(lease, numpy.zeros(d), encoding=INT32, payload_bytes=2**30)
        answer, count = self.counted(lambda: device[0].upload_frame("t", 1, compressed(plain, 4 * d, b"(")))
        self.assertEqual(answer.status, 422, answer.body)
        self.assertLess(count, 1024)

    def test_of_another_length_or_damaged_are_refused_and_the_round_goes_on(self):
        devices, lease, d = self.open("a", "b", "bad")
        zeros = frame(lease, numpy.zeros(d), encoding=INT32)
        size = 4 * d
        good = small_frame(size)
        for packed, status, why in (
                (small_frame(size + 1), 400, "unpacks to more"),
                (small_frame(1 << 31), 400, "unpacks to more"),
                (small_frame(size - 1), 400, "unpacks to less"),
                (good + b"\0", 400, "stands behind the end"),
                (good + good, 400, "stands behind the end"),
                (small_frame(size, last=False), 400, "is cut"),
                (good[:-1], 400, "is cut"),
                (small_frame(size, window=18), 400, "no zstd frame"),
                (zstd(bytes(size), window=20), 400, "no zstd frame"),
                (b"\x50\x2a\x4d\x18\0\0\0\0", 400, "no zstd frame"),
                (b"abcd", 400, "no zstd frame"),
                (b"(", 400, "no zstd frame"),
                (b"", 400, "empty, or no shorter"),
                (good.ljust(size, b"\0"), 400, "empty, or no shorter"),
                (struct.pack("<IBB", 0xFD2FB528, 0, 56) + blocks_of(size, byte=1), 400, "digest")):
            answer = devices[2].upload_frame("t", 1, compressed(zeros, size, packed))
            self.assertEqual(answer.status, status, (why, answer.body))
            self.assertIn(why, answer.problem()["detail"])
        reasons = [event["reason"] for event in self.server.events_named("update_refused")]
        self.assertEqual([reason for reason in reasons if re.search(r"\d", reason)], [])
        self.assertEqual(self.server.metric("tacit_upload_memory_bytes "), 0)
        for device in devices[:2]:
            self.assertEqual(device.upload_frame("t", 1, compressed(zeros, size, good)).status, 200)
        self.assertEqual(self.server.published()["counted"], 2)

    def test_are_for_tasks_that_say_so(self):
        self.server.create_task(task_text(size=2, privacy=NO_PRIVACY))
        device = self.devices("a", "b")
        lease = open_round(device)[0]
        self.assertFalse(lease.takes_zstd)
        d = parameters(lease)
        plain = frame(lease, numpy.zeros(d), encoding=INT32)
        answer = device[0].upload_frame("t", 1, compressed(plain, 4 * d, small_frame(4 * d)))
        self.assertEqual(answer.status, 422)
        self.assertIn("takes no compressed updates", answer.problem()["detail"])

    def test_and_those_that_are_not_take_the_memory_of_unpacking_and_nothing_of_them_is_kept(self):
        devices, lease, d = self.open("a", "b", inputs=349524)
        plain = frame(lease, numpy.zeros(d), encoding=INT32)
        path = "/v1/tasks/t/rounds/1/update"
        digest = harness.xxhash.xxh3_128(bytes(4 * d)).hexdigest()
        bodies = (compressed(plain, 4 * d, small_frame(4 * d)), compressed(plain, 4 * d))
        for device, body in zip(devices, bodies):
            with device.connect() as connection:
                head = f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
                connection.sendall(head.encode() + body[:-1])
                expected = 4 * 2**20 + 656 * 1024
                harness.wait_until(lambda: self.server.metric("tacit_upload_memory_bytes ") == expected, "the memory")
                harness.break_off(connection)
            harness.wait_until(lambda: self.server.metric("tacit_upload_memory_bytes ") == 0, "the memory to be free")
            answer = harness.wait_until(
                lambda device=device: (lambda got: got if got.status == 204 else None)(
                    device.request("GET", f"{path}?digest={digest}")), "the server to see the break")
            self.assertEqual(answer.headers["Upload-Offset"], "0")
        rests = (bodies[0], bodies[1][:-4 * d] + bodies[1][65536 - 4 * d:])
        for device, body, rest, status, why in zip(devices, bodies, rests, (400, 409),
                                                   ("no Upload-Offset", "0 bytes are here")):
            answer = device.request("PUT", path, rest, {"Upload-Offset": "65536"})
            self.assertEqual(answer.status, status)
            self.assertIn(why, answer.problem()["detail"])
            self.assertEqual(device.upload_frame("t", 1, body).status, 200)
        self.assertEqual(self.server.metric("tacit_uploads_resumed_total "), 0)

    def test_are_named_in_what_is_not_covered(self):
        self.server.create_task(zstd_task(privacy=GAUSSIAN))
        answer = json.loads(self.server.operator("GET", "/api/v1/tasks/t/privacy").body)
        self.assertIn("compressed update", " ".join(answer["not_covered"]))

    def test_come_from_agents_where_the_task_takes_them(self):
        hidden = 512
        text = zstd_task(size=1, minimum=1, inputs=60, rounds=3).replace("classes = 3", "classes = 6")
        self.server.create_task(text.replace('kind = "softmax"', f'kind = "mlp"\nhidden = [{hidden}]'))
        self.assertEqual(self.server.task()["compression"], "zstd")
        device = self.agents("a")[0]
        relay = CuttingRelay(self.server.ports["agents"], cut_after=math.inf)
        self.addCleanup(relay.close)
        identity = device.state / "identity.json"
        identity.write_text(json.dumps({**json.loads(identity.read_text()), "agents_port": relay.port}))
        agent = subprocess.Popen([BIN / "tacit-agent", "run", "--state", device.state, "--synthetic", "0/4",
                                  "--rounds-limit", "3"], stderr=subprocess.PIPE, text=True)
        log = agent.communicate(timeout=harness.PATIENCE)[1]
        self.assertEqual(agent.returncode, 0, log)
        self.assertEqual({json.loads(line)["level"] for line in log.splitlines()}, {"info"})
        self.assertEqual(self.server.published(3)["counted"], 1)
        d = 60 * hidden + hidden + 6 * hidden + 6
        self.assertLess(relay.carried, 3 * (4 * (d // 2) + d // 8) * 15 / 16)


if __name__ == "__main__":
    unittest.main(verbosity=2)
