"""Updates that travel compressed, against a real server and from a real agent."""

import ctypes
import json
import re
import struct
import subprocess
import unittest

import numpy

import harness
from harness import BIN, NO_PRIVACY, ServerTest, agent_pb2, bits_of, frame, parameters, task_text
from test_rounds import open_round
from test_sparse import model_of, published

INT32, INT8 = agent_pb2.ENCODING_GRID_INT32, agent_pb2.ENCODING_GRID_INT8
RECEIVED = 'tacit_received_bytes_total{listener="agents"}'


def zstd_task(**options):
    return task_text(privacy=NO_PRIVACY, **options) + '[updates]\ncompression = "zstd"\ntop_k = 0.5\n'


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


def compressed(plain, payload_bytes, packed):
    """The body `plain`, with its payload packed."""
    header = agent_pb2.UpdateHeader()
    header.ParseFromString(plain[4:len(plain) - payload_bytes])
    header.zstd = True
    text = header.SerializeToString()
    return struct.pack("<I", len(text)) + text + packed


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

    def test_count_like_others_and_show_nobody_how_small_they_are(self):
        devices, lease, d = self.open("a", "b")
        values = (numpy.arange(d) % 5).astype("<i4")
        plain = frame(lease, values, encoding=INT32)
        packed = compressed(plain, 4 * d, zstd(values.tobytes()))
        self.assertLess(len(packed), d)
        counts = []
        places = numpy.arange(lease.top_k) * 2
        sparse = frame(lease, [7] * lease.top_k, encoding=INT8, bits=bits_of(places, d))
        for device, body in ((devices[0], packed),
                             (devices[1], compressed(sparse, lease.top_k + (d + 7) // 8,
                                                     zstd(bytes([7]) * lease.top_k + bits_of(places, d))))):
            before = self.server.metric(RECEIVED)
            self.assertEqual(device.upload_frame("t", 1, body).status, 200)
            # Counted once the answer is on its way.
            harness.wait_until(lambda: self.server.metric(RECEIVED) > before, "the request to be counted")
            counts.append(self.server.metric(RECEIVED) - before)
        # The header says so in as many bytes, and the head has as many as for the whole.
        self.assertGreater(counts[0], 4 * d)
        self.assertLess(counts[0], 4 * d + 400)
        self.assertGreater(counts[1], lease.top_k + d // 8)
        ended = {event["bytes_in"] for event in self.server.events_named("request") if event.get("method") == "PUT"}
        self.assertEqual(ended, {int(count) for count in counts})
        published(self.server)
        expected = values.astype(float)
        expected[places] += 7
        numpy.testing.assert_allclose(model_of(self.server), expected * 10 / lease.grid_radius / 2, atol=1e-6)

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
        self.assertEqual(published(self.server)["counted"], 2)

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

    def test_take_the_memory_that_unpacking_takes_and_nothing_of_them_is_kept(self):
        devices, lease, d = self.open("a", "b", inputs=349524)
        plain = frame(lease, numpy.zeros(d), encoding=INT32)
        body = compressed(plain, 4 * d, small_frame(4 * d))
        path = "/v1/tasks/t/rounds/1/update"
        with devices[0].connect() as connection:
            head = f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body[:-1])
            expected = 4 * 2**20 + 656 * 1024
            harness.wait_until(lambda: self.server.metric("tacit_upload_memory_bytes ") == expected, "the memory")
            harness.break_off(connection)
        harness.wait_until(lambda: self.server.metric("tacit_upload_memory_bytes ") == 0, "the memory to be free")
        digest = harness.xxhash.xxh3_128(bytes(4 * d)).hexdigest()
        answer = harness.wait_until(
            lambda: (lambda got: got if got.status == 204 else None)(
                devices[0].request("GET", f"{path}?digest={digest}")), "the server to see the break")
        self.assertEqual(answer.headers["Upload-Offset"], "0")
        answer = devices[0].request("PUT", path, body, {"Upload-Offset": "65536"})
        self.assertEqual((answer.status, answer.problem()["code"]), (400, "malformed"))
        self.assertIn("no Upload-Offset", answer.problem()["detail"])
        self.assertEqual(devices[0].upload_frame("t", 1, body).status, 200)

    def test_come_from_agents_where_the_task_takes_them(self):
        text = zstd_task(size=1, minimum=1, inputs=60, rounds=3).replace("classes = 3", "classes = 6")
        self.server.create_task(text)
        self.assertEqual(self.server.task()["compression"], "zstd")
        device = self.devices("a")[0]
        agent = subprocess.Popen([BIN / "tacit-agent", "run", "--state", device.state, "--synthetic", "0/4",
                                  "--rounds-limit", "3"], stderr=subprocess.PIPE, text=True)
        log = agent.communicate(timeout=harness.PATIENCE)[1]
        self.assertEqual(agent.returncode, 0, log)
        self.assertEqual({json.loads(line)["level"] for line in log.splitlines()}, {"info"})
        self.assertEqual(published(self.server, 3)["counted"], 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
