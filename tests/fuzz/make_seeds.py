#!/usr/bin/env python3
"""Writes the seeds that the searches begin from, as corpus/TARGET/seed-NAME: good inputs of each kind and near misses.

Usage: make_seeds.py [NAME ...]
Names: accept_encoding, bundles, calibrations, certificates, codec, compressed, data_rows, device_files, device_key,
graph_file, http_head, identity_tokens, infer_requests, names, onnx_models, problem, reports, safetensors, suspect,
telemetry_answers, token_files, toml, updates, worker_messages.
"""

import base64
import gzip
import hashlib
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def write(target, name, data):
    path = HERE / "corpus" / target / f"seed-{name}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())


def protobuf(schema, message, text):
    command = ["protoc", f"--proto_path={ROOT}/proto", f"--encode=tacit.v1.{message}", f"tacit/v1/{schema}.proto"]
    return subprocess.run(command, input=text.encode(), check=True, capture_output=True).stdout


def codec():
    lease = """lease { task: "har" round: 7 model_version: 5 model_digest: "%s" model_bytes: 13488 schema_digest: "%s"
      model { inputs: 561 hidden: [32, 16] classes: 6 }
      mechanism: MECHANISM_GAUSSIAN clip_norm: 1.5 grid_radius: 1048576
      training { epochs: 2 batch_size: 32 learning_rate: 0.1 momentum: 0.9 proximal_mu: 0.01 }
      deadline_ms: 60000 max_examples: 500 }""" % ("m" * 32, "s" * 16)
    header = f'schema_digest: "{"s" * 16}" encoding: ENCODING_GRID_INT32 payload_bytes: 16 payload_digest: "{"p" * 16}"'
    sparse = header.replace("payload_bytes: 16", "payload_bytes: 1371")
    messages = (
        (0, "checkin", "agent", "CheckInRequest",
         'protocol_version: 1 agent_version: "0.1" wait_ms: 9 inputs: 4 classes: 2 only_local_noise: true '
         'trains_layers: true trains_hardened: true'),
        (0, "checkin-task", "agent", "CheckInRequest", 'protocol_version: 1 task: "har"'),
        (1, "lease", "agent", "CheckInResponse", lease),
        (1, "lease-top-k", "agent", "CheckInResponse", lease.replace("max_examples", "top_k: 337 max_examples")),
        (1, "lease-layers", "agent", "CheckInResponse", lease.replace(
            "hidden: [32, 16]", 'layers: "tacit-layers/1:1x3x187;conv 4 3x3;relu;flatten;dense 6"')),
        (1, "lease-hardened", "agent", "CheckInResponse", lease.replace(
            "proximal_mu: 0.01", "adversarial { epsilon: 0.1 steps: 5 step_size: 0.05 share: 0.5 input_max: 1 }")),
        (1, "wait", "agent", "CheckInResponse", 'wait { retry_after_ms: 1500 reason: "waits for 3 devices" }'),
        (2, "header", "agent", "UpdateHeader", header + " example_count: 281"),
        (1, "lease-zstd", "agent", "CheckInResponse", lease.replace("max_examples", "takes_zstd: true max_examples")),
        (2, "header-zstd", "agent", "UpdateHeader", header + " zstd: true"),
        (2, "header-sparse", "agent", "UpdateHeader", sparse + " shift: 3 sparse: true"),
        (3, "ack", "agent", "UpdateAck", "status: STATUS_COUNTED"),
        (4, "enrol", "enrolment", "EnrolRequest", 'token: "tok" csr_pem: "pem" label: "pump-3"'),
        (5, "enrolled", "enrolment", "EnrolResponse",
         'device: "pump-3" certificate_chain_pem: "c" ca_pem: "c" agents_host: "h" agents_port: 8443'),
        (6, "renew", "enrolment", "RenewRequest", 'csr_pem: "pem"'),
        (9, "privacy", "agent", "PrivacyResponse",
         'tasks { task: "har" mechanism: MECHANISM_LAPLACE rounds: 3 max_participations: 5 epsilon: 1.5 delta: 1e-6 }'),
        (10, "model-lease-wish", "agent", "ModelLeaseRequest",
         'device_key: "%s" highest_version: 3 key_tier: "tpm"' % ("k" * 65)),
        (11, "model-lease", "agent", "ModelLeaseResponse",
         'version: 4 manifest_digest: "%s" bundle_bytes: 14000 lease: "{}" key_epoch: 1 renew_after_ms: 1000 '
         'signer: "%s"' % ("m" * 32, "s" * 32)),
        (7, "renewed", "enrolment", "RenewResponse", 'certificate_chain_pem: "pem"'),
    )
    for selector, name, schema, message, text in messages:
        write("codec", name, bytes([selector]) + protobuf(schema, message, text))
    for name, text, payload in (("update", header, 16), ("update-zstd", header + " zstd: true", 1),
                                ("update-zstd-whole", header + " zstd: true", 16)):
        encoded = protobuf("agent", "UpdateHeader", text)
        write("codec", name, bytes([8]) + struct.pack("<I", len(encoded)) + encoded + bytes(payload))


def reports():
    counts = "counts { rows: 100 adversarial: 5 out_of_distribution: 3 rejected: 8 extraction_alarms: 1 " \
        "over_budget: 9 drift_windows: 2 drift_alarms: 1 worker_endings: 3 changed_weights: 1 refused_calls: 1 }"
    text = f'stream: "{"s" * 16}" sequence: 3 calibration: "{"c" * 32}" model_version: 4 {counts} ' \
        'degradations: ["sealed_pages", "secret_pages"]'
    report = protobuf("agent", "EdgeReport", text)
    with tempfile.TemporaryDirectory() as directory:
        key, public, signature = (pathlib.Path(directory, name) for name in ("key", "public", "signature"))
        subprocess.run(["openssl", "genpkey", "-algorithm", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key],
                       check=True, capture_output=True)
        subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-outform", "DER", "-out", public], check=True)
        subprocess.run(["openssl", "dgst", "-sha256", "-sign", key, "-out", signature], input=report, check=True)
        parts = [report, public.read_bytes(), signature.read_bytes()]
    escaped = ["".join(f"\\{byte:03o}" for byte in part) for part in parts]
    batch = 'statement: "%s" public_key: "%s" signature: "%s"' % tuple(escaped)
    write("reports", "batch", b"\x00" + protobuf("agent", "ReportBatch", batch))
    write("reports", "report", b"\x01" + report)
    write("reports", "report-quiet", b"\x01" + protobuf("agent", "EdgeReport", f'stream: "{"s" * 16}" sequence: 1'))
    write("reports", "report-unsorted", b"\x01" + protobuf("agent", "EdgeReport", text.replace("sealed", "zealed")))
    for name, sent in (("book", b""), ("book-sent", report)):
        content = b"TACITRB1" + b"s" * 16 + struct.pack("<12Q", 3, *range(11)) + struct.pack("<Q", len(sent)) + sent
        write("reports", name, b"\x02" + content)
    write("reports", "ack", b"\x03" + protobuf("agent", "ReportAck", "sequence: 3"))


def calibrations():
    writer = ROOT / "build" / "release" / "bin" / "write_calibration"
    target = HERE / "corpus" / "calibration"
    target.mkdir(parents=True, exist_ok=True)
    subprocess.run([writer, target], check=True)


def certificates():
    with tempfile.TemporaryDirectory() as directory:

        def openssl(*arguments):
            subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)
            return pathlib.Path(directory, "out").read_bytes()

        for kind, algorithm in (("p256", "ec -pkeyopt ec_paramgen_curve:P-256"), ("ed25519", "ed25519")):
            openssl("genpkey", "-algorithm", *algorithm.split(), "-out", "out")
            pathlib.Path(directory, "out").rename(pathlib.Path(directory, "key"))
            request = ("req", "-new", "-key", "key", "-subj", "/CN=pump-3", "-out", "out")
            write("csr", f"{kind}-der", openssl(*request, "-outform", "DER"))
            names = "subjectAltName=URI:spiffe://tacit.test/device/pump-3"
            issue = ("req", "-x509", "-new", "-key", "key", "-subj", "/CN=pump-3", "-days", "9", "-addext", names)
            write("certificate", f"{kind}-der", openssl(*issue, "-out", "out", "-outform", "DER"))
        write("csr", "pem", openssl(*request))
        write("certificate", "pem", openssl(*issue, "-out", "out"))
        two = names + ",URI:spiffe://tacit.test/device/pump-4"
        write("certificate", "two-uris", openssl(*issue[:-1], two, "-out", "out", "-outform", "DER"))


def npy(descr, shape, body, version=1):
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(header)) + header + body


def data_rows():
    write("data_rows", "npy-f4", npy("<f4", "(2, 2)", struct.pack("<4f", 1, -2, 0.5, 3)))
    write("data_rows", "npy-i1", npy("|i1", "(3,)", bytes(3), version=2))
    write("data_rows", "npy-short", npy("<f8", "(1000000, 1000000)", bytes(8)))
    write("data_rows", "idx-u8", bytes([0, 0, 8, 2]) + struct.pack(">II", 2, 3) + bytes(range(6)))
    write("data_rows", "idx-f32", bytes([0, 0, 0x0D, 1]) + struct.pack(">I2f", 2, 1.0, float("nan")))
    table = 'a,"b ""x""",c\n1,2.5,\n-3e-1,"4",x\n'
    write("data_rows", "csv", table)
    write("data_rows", "csv-ragged", "1,2\r\n3\r\n")
    write("data_rows", "csv-gzip", gzip.compress(table.encode(), mtime=0))
    write("data_rows", "bomb-gzip", gzip.compress(b"1,2\n" * 20_000, mtime=0))


def names():
    for name, text in (
        ("task", "har-2"),
        ("path", "../etc/passwd"),
        ("spiffe", "spiffe://tacit.test/device/pump-3"),
        ("spiffe-escaped", "spiffe://tacit.test/device/pump%2d3?x#y"),
        ("fingerprint", "sha256:" + "0123456789abcdef" * 4),
        ("fingerprint-colons", "SHA256:" + ":".join(["AB"] * 32)),
        ("hex", "00ff9A"),
    ):
        write("names", name, text)
    write("names", "not-utf8", b'"\\\x00\x1f\x7f\xc3\xa9\xc3\x28\xf0\x9f\x92\xa9\xed\xa0\x80')


def device_files():
    header = protobuf("agent", "UpdateHeader", f'schema_digest: "{"s" * 16}" encoding: ENCODING_FLOAT32 '
                      f'payload_bytes: 8 payload_digest: "{"p" * 16}"')
    parts = (b"har", None, header, bytes(8))
    body = b"".join(struct.pack("<Q", 7) if part is None else struct.pack("<Q", len(part)) + part for part in parts)
    write("device_files", "update", b"\x00TACITUP1" + body)
    sparse = protobuf("agent", "UpdateHeader", f'schema_digest: "{"s" * 16}" encoding: ENCODING_GRID_INT8 '
                      f'payload_bytes: 5 payload_digest: "{"p" * 16}" shift: 2 sparse: true')
    parts = (b"har", None, sparse, bytes((1, 255, 7, 5, 2)), struct.pack("<10f", *range(10)))
    body = b"".join(struct.pack("<Q", 7) if part is None else struct.pack("<Q", len(part)) + part for part in parts)
    write("device_files", "update-sparse", b"\x00TACITUP1" + body)
    record = '{"schema": 1, "device": "pump-3", "trust_domain": "tacit.test", "host": "localhost", "agents_port": 8443}'
    write("device_files", "identity", b"\x01" + record.encode())
    write("device_files", "identity-port", b"\x01" + record.replace("8443", "-1e99").encode())
    table = """[data]
features = "train.csv.gz"
label_column = "class"
classes = ["walking", "sitting"]
ignore_columns = ["user"]
scale = 0.5
missing = 0.0
header = true
[data.rows]
column = "user"
value = "33"
"""
    write("device_files", "source", b"\x02" + table.encode())
    arrays = table.split("label_column")[0] + 'labels = "y.npy"\nclasses = 6\nfirst_label = 1\n'
    write("device_files", "source-arrays", b"\x02" + (arrays + '[data.rows]\nlist = "p.npy"\nclient = 3\n').encode())
    write("device_files", "model", b"\x03tacit-mlp/1:561,128,6")
    spend = ('{"schema": 1, "cap": {"epsilon": 8.0, "delta": 1e-06}, "tasks": [{"task": "har", '
             '"mechanism": "gaussian", "noise_multiplier": 8.0, "delta": 1e-06, "max_releases": 20, "releases": 3}]}')
    write("device_files", "local", b"\x04" + spend.encode())
    write("device_files", "local-no-cap", b"\x04" + spend.replace('{"epsilon": 8.0, "delta": 1e-06}', "null").encode())
    held = b"TACITHM1" + b"m" * 32 + struct.pack("<7Q", 7, 1, 1, 14000, 2 * 10**12, 10**12, 2) + b"{}"
    write("device_files", "held", b"\x05" + held)
    write("device_files", "held-cut", b"\x05" + held[:-1])
    write("device_files", "model-layers", b"\x03tacit-layers/1:6x128;conv 16 5;relu;max-pool 2;flatten;dense 6")
    write("device_files", "model-huge", b"\x03tacit-mlp/1:1048576,1048576,2")


def device_key():
    def sized(data):
        return struct.pack("<Q", len(data)) + data

    forms = (
        ("clear", bytes([1]) + sized(bytes(138))),
        ("sealed", bytes([2]) + bytes(16) + sized(bytes(166))),
        ("tpm", bytes([3]) + sized(bytes(90)) + sized(bytes(126)) + bytes(34 + 4 + 65)),
        ("token", bytes([4]) + bytes(16 + 65)),
        ("long", bytes([1]) + struct.pack("<Q", 2**64 - 1)),
    )
    for name, fields in forms:
        write("device_key", name, b"\x00TACITDK1" + fields)
    versions = [sized(name) + struct.pack("<Q", version) for name, version in ((b"har", 7), (b"pump", 2**63))]
    write("device_key", "versions", b"\x01TACITVR1" + struct.pack("<QI", 12, 2) + b"".join(versions))
    write("device_key", "versions-order", b"\x01TACITVR1" + struct.pack("<QI", 12, 2) + b"".join(versions[::-1]))
    write("device_key", "versions-many", b"\x01TACITVR1" + struct.pack("<QI", 0, 2**32 - 1))
    for name, text in (
        ("place-file", "file?secret=/run/a%20b"),
        ("place-tpm", "tpm2:swtpm:host=localhost,port=2321"),
        ("place-token", "pkcs11:/usr/lib/m.so?token=a%26b&pin-file=/etc/pin&sha256=" + "a5" * 32),
        ("place-escape", "file?secret=%0"),
    ):
        write("device_key", name, b"\x02" + text.encode())


def http_head():
    upload = (
        "PUT /v1/tasks/har/rounds/7/update HTTP/1.1\r\nHost: tacit.example:8443\r\nContent-Length: 13540\r\n"
        "Content-Type: application/octet-stream\r\nExpect: 100-continue\r\n\r\n"
    )
    for name, text in (
        ("upload", upload),
        ("get", "GET /v1/a?b=c%20d&e HTTP/1.1\r\nHost: [::1]\r\nRange: bytes=5-\r\nConnection: close\r\n\r\n"),
        ("options", "OPTIONS * HTTP/1.0\r\n\r\n"),
        ("two-lengths", upload.replace("Expect: 100-continue", "Content-Length: 0")),
        ("chunked", upload.replace("Content-Length: 13540", "Transfer-Encoding: chunked")),
        ("bare-lf", upload.replace("\r\n", "\n")),
        ("folded", upload.replace("Expect:", " Expect:")),
        ("dots", upload.replace("/v1/tasks", "/v1/../tasks")),
    ):
        write("http_head", name, text)
    for name, text in (
        ("answer", 'HTTP/1.1 410 Gone\r\nContent-Type: application/problem+json\r\nContent-Length: 2\r\n\r\n{}'),
        ("answer-continue", "HTTP/1.1 100 Continue\r\n\r\n"),
    ):
        write("http_head", name, text)


def problem():
    document = '{"type":"https://tacit.dev/problems/gone","status":410,"code":"gone","detail":"round 7 is over"}'
    write("problem", "gone", b"\x05" + document.encode())
    write("problem", "control", b"\x05" + document.replace("round", "\\u001b[2J\\n").encode())
    write("problem", "wrong-types", b'\x00{"code":3,"detail":[[[{}]]]}')
    write("problem", "html", b"\x09<html>503 from a proxy</html>")


def safetensors():
    header = (
        '{"__metadata__":{"tacit_model":"tacit-mlp/1:2,2"},'
        '"layer0.bias":{"dtype":"F32","shape":[2],"data_offsets":[16,24]},'
        '"layer0.weight":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}'
    ).encode()
    header += b" " * (-len(header) % 8)
    good = struct.pack("<Q", len(header)) + header + bytes(24)
    write("safetensors", "softmax", good)
    write("safetensors", "overlap", good.replace(b"[16,24]", b"[12,20]"))
    layers = header.replace(b"tacit-mlp/1:2,2", b"tacit-layers/1:1x2;flatten;dense 2").rstrip()
    layers += b" " * (-len(layers) % 8)
    write("safetensors", "layers", struct.pack("<Q", len(layers)) + layers + bytes(24))
    write("safetensors", "huge", good.replace(b":2,2\"", b":1048576,256\""))


def graph_file():
    def name(text):
        return struct.pack("B", len(text)) + text.encode()

    def value(text, shape, offset=None, element=1):
        place = b"" if offset is None else struct.pack("<I", offset)
        return struct.pack("BBB", element, offset is not None, len(shape)) + struct.pack(f"<{len(shape)}i", *shape) + (
            place + name(text))

    def node(operator, inputs, output, kernel=(1, 1), pads=(0, 0, 0, 0), axis=1, counts=0, low=None, order=()):
        most = struct.unpack("<f", b"\xff\xff\x7f\x7f")[0]
        return struct.pack(f"<BH{len(inputs)}II", operator, len(inputs), *inputs, output) + struct.pack(
            "<2I2I2I4IIiBff", *kernel, 1, 1, 1, 1, *pads, 1, axis, counts, -most if low is None else low, most) + (
            struct.pack(f"<B{len(order)}I", len(order), *order) + name("n"))

    def graph(values, nodes, inputs, outputs, weights):
        structure = b"".join(values + nodes) + struct.pack(f"<{len(inputs + outputs)}I", *inputs, *outputs)
        start = -(-(64 + len(structure)) // 64) * 64
        head = b"TACITGRF" + struct.pack("<6I4Q", 1, len(values), len(nodes), len(inputs), len(outputs), 0,
                                         len(structure), start, len(weights), 0)
        return (head + structure).ljust(start, b"\0") + weights

    layer = [value("x", (-1, 2)), value("w", (3, 2), 0), value("b", (3,), 64), value("y", (-1, 3))]
    good = graph(layer, [node(2, (0, 1, 2), 3)], [0], [3], bytes(64) + struct.pack("<3f", 1, 2, 3))
    write("graph_file", "gemm", good)
    write("graph_file", "cut", good[:-1])
    write("graph_file", "overlap", good.replace(struct.pack("<I", 64) + name("b"), struct.pack("<I", 0) + name("b")))
    space = [value("x", (-1, 1, 4, 4)), value("w", (2, 1, 3, 3), 0), value("", (-1, 2, 4, 4)), value("", (-1, 2, 4, 4)),
             value("", (-1, 2, 3, 3)), value("", (-1, 18)), value("y", (-1, 18))]
    nodes = [node(1, (0, 1), 2, (3, 3), (1, 1, 1, 1)), node(8, (2,), 3, low=0.0), node(5, (3,), 4, (2, 2), counts=1),
             node(15, (4,), 5), node(11, (5,), 6)]
    write("graph_file", "space", graph(space, nodes, [0], [6], bytes(72)))
    mixed = [value("x", (-1, 2, 3)), value("", (-1, 3, 2)), value("", (-1, 2, 2)), value("", (-1, 2, 4)),
             value("", (-1, 2, 4)), value("y", (-1, 2, 4))]
    nodes = [node(16, (0,), 1, order=(0, 2, 1)), node(3, (0, 1), 2), node(14, (2, 2), 3, axis=2), node(12, (3, 3), 4),
             node(10, (4,), 5)]
    write("graph_file", "mixed", graph(mixed, nodes, [0], [5], b""))
    small = [value("x", (-1, 2)), value("", (), 0), value("", (), 64, 3), value("", (-1, 2), element=3),
             value("y", (-1, 2))]
    nodes = [node(17, (0, 1, 2), 3), node(18, (3, 1, 2), 4)]
    write("graph_file", "bytes", graph(small, nodes, [0], [4], struct.pack("<f", 0.5).ljust(64, b"\0") + b"\x03"))
    huge = good.replace(struct.pack("<2i", 3, 2), struct.pack("<2i", 1 << 30, 2))
    write("graph_file", "huge", huge)


def onnx_models():
    import numpy
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def model(name, nodes, shape, constants, opset=13):
        nodes = [helper.make_node(op, inputs.split(" "), [output], **more) for op, inputs, output, more in nodes]
        arrays = [numpy_helper.from_array(numpy.asarray(array), key) for key, array in constants.items()]
        ports = [helper.make_tensor_value_info(*port) for port in (("x", TensorProto.FLOAT, shape),
                                                                   ("y", TensorProto.FLOAT, None))]
        made = helper.make_model(helper.make_graph(nodes, "g", ports[:1], ports[1:], arrays),
                                 opset_imports=[helper.make_opsetid("", opset)])
        write("onnx", name, made.SerializeToString())
        return made

    ones = numpy.ones
    whole = numpy.int64
    f = numpy.float32
    first = model("space", [
        ("Conv", "x w", "a", {"auto_pad": "SAME_UPPER", "strides": [2, 1]}),
        ("BatchNormalization", "a s s s s", "b", {}), ("Clip", "b  six", "c", {}),
        ("MaxPool", "c", "d", {"kernel_shape": [2, 2], "ceil_mode": 1}), ("GlobalAveragePool", "d", "e", {}),
        ("Flatten", "e", "f", {}), ("Gemm", "f g s", "h", {"transB": 1, "alpha": 0.5}), ("Softmax", "h", "y", {})],
        ["n", 1, 6, 6], {"w": ones((2, 1, 3, 3), f), "s": ones(2, f), "six": f(6), "g": ones((2, 2), f)})
    model("view", [
        ("Shape", "x", "a", {}), ("Gather", "a zero", "b", {}), ("Unsqueeze", "b axis", "c", {}),
        ("Concat", "c left", "d", {"axis": 0}), ("Reshape", "x d", "e", {}), ("MatMul", "e w", "f", {}),
        ("Add", "f bias", "g", {}), ("Tanh", "g", "y", {})],
        ["n", 2, 2], {"zero": whole(0), "axis": numpy.zeros(1, whole), "left": -ones(1, whole), "w": ones((4, 2), f),
                      "bias": ones(2, f)})
    model("bytes", [
        ("QuantizeLinear", "x s z", "a", {}), ("DequantizeLinear", "a s z", "b", {}),
        ("DequantizeLinear", "w t", "c", {"axis": 0}), ("Conv", "b c", "d", {"pads": [1, 1]}),
        ("Squeeze", "d one", "y", {})],
        [1, 1, 5], {"s": f(0.5), "z": numpy.uint8(3), "w": ones((1, 1, 3), numpy.int8), "t": ones(1, f),
                    "one": ones(1, whole)})
    model("mixed", [
        ("Pad", "x p", "a", {}), ("AveragePool", "a", "b", {"kernel_shape": [2]}), ("MatMul", "x w", "c", {}),
        ("Transpose", "c", "d", {"perm": [0, 2, 1]}), ("MatMul", "c d", "e", {}), ("Softmax", "e", "f", {}),
        ("Sub", "f h", "g", {}), ("Div", "g h", "i", {}), ("Concat", "i b", "k", {"axis": 2}),
        ("ReduceMean", "k", "y", {"axes": [2], "keepdims": 0})],
        ["n", 3, 3], {"p": numpy.array([0, 0, 1, 0, 0, 0], whole), "w": ones((3, 3), f), "h": f(0.5)}, 11)
    first.graph.node[0].op_type = "LSTM"
    write("onnx", "unknown", first.SerializeToString())
    typed = onnx.TensorProto(name="w", data_type=1, dims=[2, 2], float_data=[1, 2, 3, 4])
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g",
                              [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], [typed])
    write("onnx", "typed", helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString())
def suspect():
    header = (
        '{"__metadata__":{"tacit_model":"tacit-mlp/1:3,4,2"},'
        '"layer0.bias":{"dtype":"F32","shape":[4],"data_offsets":[48,64]},'
        '"layer0.weight":{"dtype":"F32","shape":[4,3],"data_offsets":[0,48]},'
        '"layer1.bias":{"dtype":"F32","shape":[2],"data_offsets":[96,104]},'
        '"layer1.weight":{"dtype":"F32","shape":[2,4],"data_offsets":[64,96]}}'
    ).encode()
    header += b" " * (-len(header) % 8)
    good = struct.pack("<Q", len(header)) + header + struct.pack("<26f", *(0.1 * i - 1.2 for i in range(26)))
    write("suspect", "mlp", good)
    write("suspect", "not-a-number", good[:-8] + struct.pack("<2f", float("nan"), float("inf")))
    write("suspect", "cut", good[:-4])
    write("suspect", "graph-cut", b"TACITGRF" + bytes(64))


TASK = """name = "har"
[model]
kind = "mlp"
inputs = 561
hidden = [128, 64]
classes = 6
seed = 7
[training]
epochs = 2
batch_size = 16
learning_rate = 0.05
momentum = 0.9
proximal_mu = 0.01
[rounds]
count = 20
max_participations = 5
[cohort]
size = 16
min = 8
over_selection = 1.25
deadline = "90s"
[privacy]
mechanism = "gaussian"
clip_norm = 1.5
noise_multiplier = 1.1
delta = 1e-3
epsilon_budget = 8
population = 21
[aggregation]
optimizer = "fedadam"
learning_rate = 0.02
beta1 = 0.8
beta2 = 0.95
tau = 0.01
"""

CONFIG = """[server]
data_dir = "data"
trust_domain = "fleet.example"
io_threads = 2
compute_threads = 2
log_level = "info"
shutdown_grace = "10s"
[agents]
address = "0.0.0.0"
port = 8443
max_connections = 10000
long_poll = "30s"
session_lifetime = "1d"
failed_handshakes_per_minute_per_source = 512
[enrolment]
port = 8445
certificate_lifetime = "7d"
requests_per_minute_per_source = 30
advertised_host = "tacit.example"
[api]
address = "127.0.0.1"
port = 8444
[metrics]
port = 9464
[pki]
ca_certificate = "ca.crt"
ca_key = "ca.key"
certificate = "server.crt"
private_key = "server.key"
model_key = "pki/models.key"
[limits]
memory_ceiling = "2GiB"
upload_memory = "512MiB"
task_memory = "256MiB"
bundle_memory = "64MiB"
max_update_bytes = "256MiB"
max_parameters = 1000000
[traces]
endpoint = "https://collector.example:4318/"
ca_file = "collector.crt"
headers_file = "collector.headers"
tls = "required"
[mlflow]
tracking_uri = "http://127.0.0.1:5000/mlflow"
name_prefix = "tacit-"
artifacts = "proxied"
"""


def toml():
    write("task_file", "gaussian", TASK)
    write("task_file", "target", TASK.replace("noise_multiplier = 1.1", "target_epsilon = 4"))
    plain = TASK.split("[privacy]")[0] + '[privacy]\nmechanism = "none"\nclip_norm = 10\n'
    write("task_file", "plain", plain + '[aggregation]\nweighting = "examples"\nmax_examples = 1000\n')
    asynchronous = TASK.replace('min = 8\nover_selection = 1.25\ndeadline = "90s"\n', "")
    write("task_file", "asynchronous", asynchronous + '[asynchronous]\nmax_staleness = 4\ndiscount = "inverse"\n'
          'concurrency = 40\nlease_lifetime = "2m"\n')
    write("task_file", "top-k", TASK + "[updates]\ntop_k = 0.05\n")
    write("task_file", "watermark", TASK + "[watermark]\ntriggers = 100\ninput_min = -1.0\n")
    write("task_file", "deployment", TASK + '[deployment]\nlease = "30d"\ncopies = "own"\n')
    write("task_file", "detectors", TASK + '[deployment]\n[detectors]\nclean_rows = "rows.npy"\nmode = "reject"\n'
          'scores = "energy,gradient"\nbudget = 100\n')
    image = 'image = [1, 28, 28]\nlayers = ["conv 16 3x3 stride 2 pad 1 groups 1", "relu6", "max-pool 2", "flatten", '
    image += '"dense 10"]'
    write("task_file", "image", TASK.replace('kind = "mlp"\ninputs = 561\nhidden = [128, 64]\nclasses = 6', image))
    signal = 'signal = [6, 128]\nlayers = ["conv 16 5", "tanh", "global-average-pool", "flatten", "dense 6"]'
    write("task_file", "signal", TASK.replace('kind = "mlp"\ninputs = 561\nhidden = [128, 64]\nclasses = 6', signal))
    write("task_file", "hardened", TASK.replace("proximal_mu = 0.01", "adversarial = { epsilon = 0.1, share = 0.5 }"))
    write("task_file", "wrong", TASK.replace("delta = 1e-3", "delta = 1").replace("inputs", "imputs"))
    write("task_file", "not-toml", "[model\nkind = = 3\n\xff")
    write("server_config", "all-keys", CONFIG)
    required = [line for line in CONFIG.split("[traces]", 1)[0].split("\n")
                if line.startswith("[") or "data_dir" in line or "trust" in line]
    write("server_config", "required", "\n".join(required + ['ca_key = "k"', ""]))
    oidc = '[api.oidc]\nissuer = "https://a.example/b"\naudience = "tacit"\nrole_claim = "/a~1b/c"\nleeway = "5s"\n'
    roles = '[api.oidc.roles]\n"fleet operators" = "operator"\naudit = "auditor"\n'
    write("server_config", "oidc", CONFIG.replace("[metrics]", oidc + roles + "[metrics]"))
    write("server_config", "too-large", CONFIG.replace("2GiB", "64MiB"))


def telemetry_answers():
    tags = '[{"key":"tacit.round","value":"7"},{"key":"tacit.model_digest","value":"abcd"}]'
    write("telemetry_answers", "versions",
          '{"model_versions":[{"version":"1","tags":%s},{"version":"2"}],"next_page_token":"x"}' % tags)
    write("telemetry_answers", "partial", '{"partialSuccess":{"rejectedSpans":"3","errorMessage":"too \\u001b old"}}')
    write("telemetry_answers", "error", '{"error_code":"RESOURCE_ALREADY_EXISTS","message":"there"}')
    write("telemetry_answers", "wrong-types",
          '{"model_versions":[3,{"tags":{}}],"partialSuccess":{"rejectedSpans":-1}}')
    write("telemetry_answers", "headers", "# a comment\nAuthorization: Bearer x\n\nX-Org: 7\n")


def compressed():
    def blocks(*parts):
        text = b""
        for index, (kind, content, size) in enumerate(parts):
            text += struct.pack("<I", size << 3 | kind << 1 | (index == len(parts) - 1))[:3] + content
        return text

    def frame(window, content):
        return struct.pack("<IBB", 0xFD2FB528, 0, (window - 10) << 3) + content

    raw, same = 0, 1
    lead = struct.pack("<HB", 999, 60)
    good = frame(17, blocks((raw, bytes(range(100)), 100), (same, b"\x03", 900)))
    single = struct.pack("<IBH", 0xFD2FB528, 0x60, 1000 - 256) + blocks((same, b"\x00", 1000))
    write("compressed_payload", "blocks", lead + good)
    write("compressed_payload", "single-segment", lead + single)
    write("compressed_payload", "bytes-behind", lead + good + b"x")
    write("compressed_payload", "window", lead + frame(18, blocks((same, b"\x00", 1000))))
    write("compressed_payload", "bomb", lead + frame(17, blocks(*[(same, b"\x00", 1 << 17)] * 200)))
    write("compressed_payload", "cut", lead + good[:-1])


def identity_tokens():
    def url64(data):
        return base64.urlsafe_b64encode(data if isinstance(data, bytes) else data.encode()).rstrip(b"=").decode()

    def seed(kind, name, data):
        write("identity_token", name, bytes([kind]) + (data if isinstance(data, bytes) else data.encode()))

    now = 1_790_000_000
    claims = {"iss": "https://a.example", "aud": ["tacit", "other"], "sub": "auth0|ada", "iat": now, "nbf": now,
              "exp": now + 300.5, "realm_access": {"roles": ["operators", "viewers"]}}
    payload = json.dumps(claims)

    def token(header, signature=bytes(64)):
        return f"{url64(json.dumps(header))}.{url64(payload)}.{url64(signature)}"

    good = {"alg": "ES256", "typ": "at+jwt", "kid": "1"}
    seed(0, "token", token(good))
    seed(0, "token-rsa", token({**good, "alg": "RS256"}, bytes(256)))
    seed(0, "token-none", token({**good, "alg": "none"}, b""))
    seed(0, "token-crit", token({**good, "crit": ["b64"], "b64": False}))
    seed(0, "token-key-inside", token({**good, "jwk": {"kty": "oct", "k": "AA"}, "jku": "https://b.example"}))
    seed(0, "token-not-canonical", token(good)[:-1] + "B")
    seed(1, "claims", payload)
    seed(1, "claims-one-audience", json.dumps({**claims, "aud": "tacit", "realm_access": {"roles": "viewers"}}))
    seed(1, "claims-twice", payload[:-1] + ', "sub": "eve"}')
    seed(1, "claims-deep", '{"a":' + "[" * 50 + "]" * 50 + "," + payload[1:])
    seed(1, "claims-control", json.dumps({**claims, "sub": "a/b\x00\n\u00e9"}))
    point = {"kty": "EC", "crv": "P-256", "kid": "1", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
             "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}
    # RFC 7517, appendix A.1.
    rsa = {"kty": "RSA", "kid": "2011-04-29", "alg": "RS256", "use": "sig", "e": "AQAB",
           "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJE"
                "CPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2Q"
                "vzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6"
                "WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"}
    seed(2, "keys", json.dumps({"keys": [point, rsa]}))
    seed(2, "keys-same-id", json.dumps({"keys": [point, point]}))
    useless = [{**point, "use": "enc"}, {**point, "x": point["y"]}, {**rsa, "e": "Aw"}, {"kty": "oct", "k": "AA"}]
    seed(2, "keys-useless", json.dumps({"keys": useless}))
    seed(3, "discovery", json.dumps({"issuer": "https://a.example", "jwks_uri": "https://b.example/keys?a=b"}))
    seed(3, "discovery-plain", json.dumps({"issuer": "https://a.example", "jwks_uri": "http://b.example/keys"}))
    seed(4, "path", "realm_access.roles")
    seed(4, "path-pointer", "/https:~1~1example.com~1roles/~0")


def updates():
    def sparse(parameters, places, values, width, shift=0):
        bits = sum(1 << place for place in places).to_bytes((parameters + 7) // 8, "little")
        lead = struct.pack("<HHB", parameters - 1, len(values) - 1, 3 * shift + (1, 2, 4).index(width))
        return lead + struct.pack(f"<{len(values)}{' bh i'[width]}", *values) + bits

    write("update", "some", sparse(100, [3, 50, 99], [1, -2, 127], 1, 4))
    write("update", "all", sparse(65, range(65), range(65), 2))
    write("update", "last", sparse(2049, range(2000, 2049), range(49), 4))
    write("update", "too-few-bits", sparse(100, [3, 50], [1, -2, 127], 1))
    write("update", "bits-behind-the-end", sparse(104, [103], [5], 1).replace(b"\x67\x00", b"\x63\x00", 1))
    # The byte of a width of 4 with no shift, above 127.
    l1 = sparse(70, [1, 69], [-(1 << 19), 1 << 19], 4)
    write("update", "l1", l1[:4] + bytes([128]) + l1[5:])
    write("update", "too-long", sparse(9, [0, 8], [1 << 20, 1], 4))


def accept_encoding():
    for name, text in (("browser", "gzip, deflate, br, zstd"), ("weights", "br;q=1.0, gzip;q=0.8, *;q=0.1"),
                       ("refused", "identity, x-gzip ; Q=0.000"), ("any", "*"), ("odd", ",;q=,;;q=0;gzip=1")):
        write("accept_encoding", name, text.encode())


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


#: RFC 8032, section 7.1, test 3, as PKCS #8: the only key that the target trusts.
SIGNER = bytes.fromhex("302e020100300506032b657004220420"
                       "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7")
SIGNER_PUBLIC = bytes.fromhex("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025")


def envelope(payload_type, payload):
    message = b"DSSEv1 %d %s %d %s" % (len(payload_type), payload_type.encode(), len(payload), payload)
    with tempfile.TemporaryDirectory() as directory:
        key = pathlib.Path(directory, "key")
        key.write_bytes(SIGNER)
        pathlib.Path(directory, "message").write_bytes(message)
        sign = ["openssl", "pkeyutl", "-sign", "-keyform", "DER", "-inkey", key, "-rawin", "-in",
                pathlib.Path(directory, "message")]
        signature = subprocess.run(sign, check=True, capture_output=True).stdout
    signed = {"keyid": hashlib.sha256(SIGNER_PUBLIC).hexdigest(), "sig": base64.b64encode(signature).decode()}
    return canonical({"payload": base64.b64encode(payload).decode(), "payloadType": payload_type,
                      "signatures": [signed]})


def bundles():
    def seed(selector, name, data):
        write("bundle", name, bytes([selector]) + data)

    manifest = {"chunk_size": 65536, "cipher": "aes-256-gcm", "content_key": "03" * 32, "engine_format": 1,
                "made_at_ms": 1790000000000, "minimum_version": 1, "model": "har", "plaintext_sha256": "01" * 32,
                "plaintext_size": 20, "schema": "02" * 32, "task": "har", "version": 7}
    more = {"detector_calibration": "06" * 32, "detectors_size": 4, "device": "pump-3", "predecessor": "04" * 32,
            "receipt": "05" * 32, "watermark_commitment": "07" * 32}
    statement = {"_type": "https://in-toto.io/Statement/v1", "predicate": manifest,
                 "predicateType": "https://tacit.dev/model-bundle/v1",
                 "subject": [{"digest": {"sha256": "01" * 32}, "name": "model"}]}
    lease = {"device": "pump-3", "expires_ms": 1790086400000, "key_epoch": 1, "manifest": "08" * 32,
             "not_before_ms": 1790000000000, "wrapped_key": base64.b64encode(bytes(range(113))).decode()}
    signed = envelope("application/vnd.in-toto+json", canonical(statement))
    seed(0, "manifest", canonical(manifest))
    seed(0, "manifest-whole", canonical({**manifest, **more}))
    seed(0, "manifest-spaces", json.dumps(manifest, sort_keys=True).encode())
    seed(0, "manifest-fraction", canonical(manifest).replace(b'"version":7', b'"version":7.0'))
    seed(1, "statement", canonical(statement))
    seed(1, "statement-whole", canonical({**statement, "predicate": {**manifest, **more}}))
    seed(2, "envelope", signed)
    seed(2, "envelope-deep", b'{"payload":' + b"[" * 500)
    seed(3, "head", b"TACITMB1" + struct.pack("<IQ", len(signed), 36) + signed)
    seed(3, "head-long", b"TACITMB1" + struct.pack("<IQ", 1 << 31, 36) + signed)
    seed(4, "lease", envelope("application/vnd.tacit.model-lease.v1+json", canonical(lease)))
    seed(5, "signed-statement", canonical(statement))
    seed(6, "signed-lease", canonical(lease))
    seed(6, "signed-lease-short", canonical({**lease, "wrapped_key": "AAAA"}))
    seed(7, "payload", bytes(36))


def worker_messages():
    def seed(selector, name, data):
        write("worker_messages", name, bytes([selector]) + data)

    def port(name, element, shape):
        head = struct.pack("<I", len(name)) + name + bytes([element, len(shape)])
        return head + b"".join(struct.pack("<q", each) for each in shape)

    def padded(data):
        return data + bytes(-len(data) % 64)

    inputs = struct.pack("<I", 1) + port(b"image", 1, [-1, 1, 28, 28])
    outputs = struct.pack("<I", 2) + port(b"scores", 1, [-1, 10]) + port(b"class", 4, [-1])
    protections = bytes([1] * 15 + [39])
    seed(0, "header", struct.pack("<IB3xQ", 5, 2, 9))
    seed(0, "header-kind", struct.pack("<IB3xQ", 5, 7, 9))
    seed(1, "tensors", padded(struct.pack("<QII2Q", 3, 2, 0, 12, 64)) + padded(bytes(12)) + bytes(64))
    seed(1, "tensors-none", padded(struct.pack("<QII", 0, 0, 0)))
    seed(1, "tensors-long", padded(struct.pack("<QIIQ", 3, 1, 0, 1 << 63)) + bytes(64))
    seed(2, "loaded", inputs + outputs + bytes(32) + protections + b"\0")
    policy = struct.pack("<BQQQ", 2, 100, 300, 3600)
    seed(2, "loaded-detectors", inputs + outputs + bytes(32) + protections + b"\1" + bytes(range(32)) + policy)
    wide = struct.pack("<I", 1) + port(b"", 1, [-1, 1 << 40])
    seed(2, "loaded-rows", wide + outputs + bytes(32) + protections + b"\0")
    seed(3, "state", protections + struct.pack("<Q", 7))
    seed(4, "failure", bytes([9]) + b"the model is too large")
    seed(5, "ticket", bytes(96) + struct.pack("<QQQ", 70000, 512, 0) + bytes(32))
    seed(5, "ticket-detectors", bytes(96) + struct.pack("<QQQ", 70000, 512, 600) + bytes(range(32)))
    seed(6, "askers", struct.pack("<I16sQ16sQ", 5, bytes(range(16)), 2, bytes(16), 3))
    seed(7, "judgement", struct.pack("<IIII8B", 2, 1, 1, 512, 1, 1, 6, 5, 2, 0, 0, 0))
    seed(8, "words", b"refused 41\n")


def infer_requests():
    def seed(name, request, binary=b""):
        head = json.dumps(request).encode()
        write("infer_request", name, struct.pack("<H", len(head)) + head + binary)

    def tensor(name, datatype, shape, data=None, **parameters):
        made = {"name": name, "datatype": datatype, "shape": shape}
        return {**made, "data": data} if data is not None else {**made, "parameters": parameters}

    numbers = tensor("n", "INT8", [2], [-5, 7])
    seed("flat", {"id": "1", "inputs": [tensor("x", "FP32", [2, 2], [1, 2.5, -3e2, 0]), numbers]})
    seed("nested", {"inputs": [numbers, tensor("x", "FP32", [2, 2], [[1, 2.5], [-3e2, 0]])],
                    "outputs": [{"name": "y", "parameters": {"binary_data": True}}]})
    seed("binary", {"inputs": [tensor("x", "FP32", [2, 2], binary_data_size=16), numbers],
                    "parameters": {"binary_data_output": True}}, struct.pack("<4f", 1, 2, 3, 4))
    seed("short", {"inputs": [tensor("x", "FP32", [2, 2], binary_data_size=16), numbers]}, bytes(15))
    seed("rows", {"inputs": [tensor("x", "FP32", [1 << 39, 2], [1]), numbers]})


def token_files():
    def line(name, end, token=b"tst_one"):
        return f"{name} {hashlib.sha256(token).hexdigest()} {end}\n"

    write("token_file", "two", "# who may ask\n\n" + line("camera", 1790000000000) + line("gateway-2", 0, b"tst_two"))
    write("token_file", "same-name", line("camera", 1) + line("camera", 2))
    write("token_file", "end", line("camera", 1 << 63))
    write("token_file", "short", line("camera", 1).replace("camera ", "camera 00", 1))


ALL = (
    accept_encoding,
    bundles,
    calibrations,
    certificates,
    codec,
    compressed,
    data_rows,
    device_files,
    device_key,
    graph_file,
    http_head,
    identity_tokens,
    infer_requests,
    names,
    onnx_models,
    problem,
    reports,
    safetensors,
    suspect,
    telemetry_answers,
    token_files,
    toml,
    updates,
    worker_messages,
)
SEEDS = {seeds.__name__: seeds for seeds in ALL}

if __name__ == "__main__":
    for name in sys.argv[1:] or SEEDS:
        SEEDS[name]()
    print("seeds written under", HERE / "corpus")
