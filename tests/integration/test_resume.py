"""Uploads that break and go on where they stopped: each byte is sent once, and the update counted once."""

import contextlib
import json
import socket
import sqlite3
import subprocess
import threading
import unittest

import numpy
import xxhash

import harness
from harness import BIN, NO_PRIVACY, ServerTest, agent_pb2, frame, parameters, task_text
from test_rounds import open_round

PIECE = 64 * 1024


class BrokenUploads(ServerTest):
    server_options = {"config_edits": [(r"(?m)^#? *upload_memory *=.*", 'upload_memory = "16MiB"'),
                                       (r"(?m)^#? *max_update_bytes *=.*", 'max_update_bytes = "8MiB"')]}

    def setUp(self):
        super().setUp()
        # 4 MiB of parameters.
        self.server.create_task(task_text(size=2, minimum=2, inputs=349524, over_selection=2.0, privacy=NO_PRIVACY))
        self.devices_ = self.devices("a", "b")
        self.lease = open_round(self.devices_)[0]
        self.path = f"/v1/tasks/t/rounds/{self.lease.round}/update"
        generator = numpy.random.default_rng(1)
        self.values = [generator.integers(-9, 9, parameters(self.lease)).astype("<i4") for _ in range(2)]
        self.body = frame(self.lease, self.values[0], encoding=agent_pb2.ENCODING_GRID_INT32)
        self.payload = self.values[0].tobytes()
        self.prefix = self.body[:len(self.body) - len(self.payload)]

    def break_at(self, device, sent):
        with device.connect() as connection:
            head = f"PUT {self.path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(self.body)}\r\n\r\n"
            connection.sendall(head.encode() + self.prefix + self.payload[:sent])
            harness.break_off(connection)

    def ask(self, device, payload=None):
        digest = xxhash.xxh3_128(self.payload if payload is None else payload).hexdigest()

        def answer():
            got = device.request("GET", f"{self.path}?digest={digest}")
            return None if got.status == 503 else got
        return harness.wait_until(answer, "the server to see the break")

    def kept(self, device, payload=None):
        answer = self.ask(device, payload)
        self.assertEqual(answer.status, 204, answer.body)
        return int(answer.headers["Upload-Offset"])

    def go_on(self, device, offset, payload=None, prefix=None):
        payload = self.payload if payload is None else payload
        return device.request("PUT", self.path, (prefix or self.prefix) + payload[offset:],
                              {"Upload-Offset": str(offset)})

    def break_and_ask(self):
        device = self.devices_[0]
        self.break_at(device, len(self.payload) * 8 // 10)
        offset = self.kept(device)
        self.assertEqual(offset, len(self.payload) * 8 // 10 // PIECE * PIECE)
        return device, offset

    def test_the_rest_is_enough_and_the_update_is_counted_once(self):
        device, offset = self.break_and_ask()
        self.assertEqual(self.go_on(device, offset).status, 200)
        self.assertEqual(self.server.metric("tacit_uploads_resumed_total "), 1)
        self.assertEqual(self.server.metric("tacit_upload_saved_bytes_total "), offset)
        self.assertEqual(self.ask(device).status, 200)
        self.assertEqual(self.go_on(device, offset).status, 200)
        other = self.payload[:-4] + b"\1\0\0\0"
        self.assertEqual(self.ask(device, other).status, 409)
        self.assertEqual(self.devices_[1].upload(self.lease, self.values[1],
                                                 encoding=agent_pb2.ENCODING_GRID_INT32).status, 200)
        ended = self.server.published()
        self.assertEqual(ended["counted"], 2)
        # It is over a moment after the store says so.
        harness.wait_until(lambda: self.ask(device).status == 410, "the round to be over")
        self.assertEqual(self.go_on(device, offset).status, 410)

    def test_a_wrong_offset_is_told_the_right_one(self):
        device, offset = self.break_and_ask()
        for wrong in (offset - PIECE, offset + PIECE, 1):
            answer = self.go_on(device, wrong)
            self.assertEqual((answer.status, answer.headers.get("Upload-Offset")), (409, str(offset)))
        for bad in ("-1", "x", "1" * 19, ""):
            answer = device.request("PUT", self.path, self.prefix, {"Upload-Offset": bad})
            self.assertEqual(answer.status, 400, bad)
        self.assertEqual(self.go_on(device, offset).status, 200)

    def test_another_device_or_header_has_nothing_to_go_on_with(self):
        device, offset = self.break_and_ask()
        self.assertEqual(self.kept(self.devices_[1]), 0)
        answer = self.go_on(self.devices_[1], offset)
        self.assertEqual((answer.status, answer.headers.get("Upload-Offset")), (409, "0"))
        other = frame(self.lease, self.values[0], examples=2, encoding=agent_pb2.ENCODING_GRID_INT32)
        answer = self.go_on(device, offset, prefix=other[:len(other) - len(self.payload)])
        self.assertEqual((answer.status, answer.headers.get("Upload-Offset")), (409, "0"))
        self.assertEqual(self.go_on(device, offset).status, 200)

    def test_a_rest_of_other_bytes_is_refused(self):
        device, offset = self.break_and_ask()
        answer = self.go_on(device, offset, self.payload[:-4] + b"\1\0\0\0")
        self.assertEqual((answer.status, answer.problem()["code"]), (400, "malformed"))
        self.assertEqual(self.kept(device), 0)

    def test_only_one_of_two_gets_what_is_kept(self):
        device, offset = self.break_and_ask()
        rest = self.prefix + self.payload[offset:]
        with device.connect() as connection:
            connection.sendall(f"PUT {self.path} HTTP/1.1\r\nHost: x\r\nUpload-Offset: {offset}\r\n"
                               f"Content-Length: {len(rest)}\r\n\r\n".encode() + rest[:-1])
            harness.wait_until(lambda: self.server.metric("tacit_uploads_resumed_total ") == 1, "the first to begin")
            answer = self.go_on(device, offset)
            self.assertEqual((answer.status, answer.headers.get("Upload-Offset")), (409, "0"))
            connection.sendall(rest[-1:])
            self.assertIn(b" 200 ", connection.recv(4096))

    def test_a_device_whose_upload_is_still_under_way_is_told_to_ask_again_soon_whatever_the_fleet(self):
        self.assertEqual(self.server.stop(), 0)
        with contextlib.closing(sqlite3.connect(self.server.data / "tacit.db")) as database, database:
            database.executemany("INSERT INTO devices VALUES (?, 'active', zeroblob(32), '01', 0, 0, NULL, '')",
                                 ((f"fleet-{number}",) for number in range(50_000)))
        self.server.restart()
        device = self.devices_[0]
        digest = xxhash.xxh3_128(self.payload).hexdigest()
        with device.connect() as connection:
            head = f"PUT {self.path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(self.body)}\r\n\r\n"
            connection.sendall(head.encode() + self.prefix + self.payload[:PIECE])
            harness.wait_until(lambda: self.server.metric("tacit_upload_memory_bytes ") > 0, "the upload to begin")
            answer = device.request("GET", f"{self.path}?digest={digest}")
            self.assertEqual((answer.status, answer.headers["Retry-After"]), (503, "2"))

    def test_a_killed_server_has_nothing_and_takes_the_whole(self):
        device, offset = self.break_and_ask()
        self.server.kill()
        self.server.restart()
        self.assertEqual(self.kept(device), 0)
        self.assertEqual(self.go_on(device, offset).headers.get("Upload-Offset"), "0")
        self.assertEqual(device.upload_frame("t", self.lease.round, self.body).status, 200)

    def test_what_is_kept_gives_way_to_who_needs_the_memory(self):
        device, offset = self.break_and_ask()
        head = f"PUT {self.path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(self.body)}\r\n\r\n".encode()
        holders = [other.connect() for other in (self.devices_[1], self.devices_[1])]
        holders += [other.connect() for other in self.devices("c", "d")]
        for connection in holders:
            connection.sendall(head + self.prefix)
        harness.wait_until(lambda: self.server.metric("tacit_upload_memory_bytes ") == 16 * 2**20, "all memory")
        self.assertEqual(self.kept(device), 0)
        for connection in holders:
            connection.close()


class CuttingRelay:
    """Stands between an agent and the server, and ends the first connection that has brought so many bytes."""

    def __init__(self, port, cut_after):
        self.target = ("127.0.0.1", port)
        self.cut_after = cut_after
        self.cuts = 0
        self.carried = 0  # from the agent
        self.ended = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                agent = self.listener.accept()[0]
                server = socket.create_connection(self.target)
                threading.Thread(target=self.carry, args=(agent, server, True), daemon=True).start()
                threading.Thread(target=self.carry, args=(server, agent, False), daemon=True).start()

    def carry(self, source, sink, from_agent):
        brought = 0
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
                if not from_agent:
                    continue
                brought += len(data)
                self.carried += len(data)
                if brought >= self.cut_after and self.cuts == 0:
                    self.cuts += 1
                    break
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        if from_agent:
            self.ended.append((source, sink))

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for ends in self.ended:
            for end in ends:
                end.close()


class AgentsThatAreCutOff(ServerTest):
    def test_an_agent_sends_only_what_the_server_does_not_have(self):
        hidden = 8192
        payload = 4 * (60 * hidden + hidden + 6 * hidden + 6)
        text = task_text(size=1, minimum=1, inputs=60, rounds=1, privacy=NO_PRIVACY)
        self.server.create_task(text.replace('kind = "softmax"', f'kind = "mlp"\nhidden = [{hidden}]')
                                .replace("classes = 3", "classes = 6"))
        device = self.agents("a")[0]
        relay = CuttingRelay(self.server.ports["agents"], cut_after=payload * 3 // 4)
        self.addCleanup(relay.close)
        identity = device.state / "identity.json"
        identity.write_text(json.dumps({**json.loads(identity.read_text()), "agents_port": relay.port}))
        agent = subprocess.Popen([BIN / "tacit-agent", "run", "--state", device.state, "--synthetic", "0/4"],
                                 stderr=subprocess.DEVNULL)
        try:
            harness.wait_until(lambda: self.server.task()["state"] == "finished", "the task to end", agent)
        finally:
            agent.terminate()
            agent.wait(harness.PATIENCE)
        self.assertEqual([r["counted"] for r in self.server.rounds()], [1])
        self.assertEqual(relay.cuts, 1)
        self.assertEqual(self.server.metric("tacit_uploads_resumed_total "), 1)
        saved = self.server.metric("tacit_upload_saved_bytes_total ")
        self.assertGreater(saved, payload // 2)
        self.assertLess(relay.carried, payload * 5 // 4, "a second whole upload would be 7/4")


if __name__ == "__main__":
    unittest.main(verbosity=2)
