"""Reads what write_model_samples wrote with numpy and by the published safetensors layout, without our readers."""
import json
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

WIDTHS = [5, 4, 3, 2]
METADATA = {"task": 'a "quoted" name', "epsilon": "1.5", "tacit_model": "tacit-mlp/1:5,4,3,2"}


def expected_tensors():
    tensors, at = {}, 0
    for layer, (inputs, outputs) in enumerate(zip(WIDTHS, WIDTHS[1:])):
        for name, shape in ((f"layer{layer}.weight", (outputs, inputs)), (f"layer{layer}.bias", (outputs,))):
            count = int(np.prod(shape))
            values = 0.25 * np.arange(at, at + count, dtype=np.float32) - 3
            tensors[name] = values.reshape(shape)
            at += count
    return tensors


def check_npz(path, expected):
    assert zipfile.ZipFile(path).testzip() is None, "bad CRC in the archive"
    with np.load(path, allow_pickle=False) as archive:
        assert set(archive.files) == set(expected) | {"metadata"}, archive.files
        for name, values in expected.items():
            assert archive[name].dtype == np.float32 and np.array_equal(archive[name], values), name
        assert json.loads(archive["metadata"].item()) == METADATA


def check_safetensors(path, expected):
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    assert header.pop("__metadata__") == METADATA
    assert list(header) == list(expected), list(header)
    for name, values in expected.items():
        begin, end = header[name]["data_offsets"]
        read = np.frombuffer(raw[8 + length + begin : 8 + length + end], dtype="<f4").reshape(header[name]["shape"])
        assert header[name]["dtype"] == "F32" and np.array_equal(read, values), name


def main():
    with tempfile.TemporaryDirectory() as name:
        subprocess.run([sys.argv[1], name], check=True)
        expected = expected_tensors()
        check_npz(Path(name) / "model.npz", expected)
        check_safetensors(Path(name) / "model.safetensors", expected)
    print("numpy reads both exports")


if __name__ == "__main__":
    main()
