"""Writes the seeds of the fuzz targets: seeds/TARGET/NAME. Needs NumPy and Pillow; the same every time.

Small files as the usual programs write them: NumPy's npy and npz, Pillow's pictures, Python's tar, gzip and pickle modules. Texts are
those of the project itself (presets, networks) and of its documentation.
"""

import bz2
import gzip
import io
import json
import pathlib
import pickle
import random
import struct
import tarfile
import zlib

import numpy as np
from PIL import Image

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent
random.seed(1)
rng = np.random.default_rng(1)


def seed(target, name, *parts):
    path = HERE / "seeds" / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(p if isinstance(p, bytes) else p.encode() for p in parts))


def part(data):
    """A part of an input with its length before it, as `parts` of the targets reads it."""
    return struct.pack("<H", len(data)) + data


def idx(*shape, kind=8):
    count = int(np.prod(shape))
    return struct.pack(">BBBB", 0, 0, kind, len(shape)) + b"".join(struct.pack(">I", n) for n in shape) + bytes(i % 2 for i in range(count))


def npy(array):
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def npz(arrays, **how):
    out = io.BytesIO()
    (np.savez_compressed if how.get("packed") else np.savez)(out, **arrays)
    return out.getvalue()


# IDX: which file, plain and gzipped.
for mode in range(4):
    content = idx(2) if mode % 2 else idx(2, 2, 2)
    seed("idx", f"plain-{mode}", bytes([mode]), content)
    seed("idx", f"layer-{mode}", bytes([mode + 4]), content)
seed("idx", "gzip", b"\0", gzip.compress(idx(2, 2, 2), mtime=0))
seed("idx", "floats", b"\0", idx(2, 2, 2, kind=13))

# Text.
usps = "6.0000" + " -1.0000" * 250 + " 0.5" * 6 + " \n"
optdigits = ",".join(["0", "16", "7.5"] * 21 + ["1", "3"]) + "\n"
for mode, text in enumerate([usps, optdigits, usps, optdigits]):
    seed("text", f"{mode}", bytes([mode]), text)
seed("text", "gzip", b"\1", gzip.compress(optdigits.encode(), mtime=0))

svm = "7 1:-1 2:0.25 256:1\n10 3:-0.5\n"
seed("text", "libsvm", b"\4", svm)
seed("text", "libsvm-packed", b"\5", bz2.compress(svm.encode()))

# NumPy.
images, labels = rng.integers(0, 256, (2, 3, 3), np.uint8), np.array([0, 1])
both = {"train_images": images, "train_labels": labels, "test_images": images, "test_labels": labels}
keras = {"x_train": images, "y_train": labels.astype("u1"), "x_test": images, "y_test": labels.astype("u1")}
seed("npz", "archive", b"\0", npz(both))
seed("npz", "packed", b"\0", npz(both, packed=True))
seed("npz", "keras", b"\0", npz(keras, packed=True))
medmnist = both | {"val_images": images, "val_labels": labels[:, None]}
seed("npz", "medmnist", b"\0", npz(medmnist, packed=True))
variants = {
    "grey": (images, labels),
    "colour": (rng.integers(0, 256, (2, 3, 3, 3), np.uint8), labels.astype(">i2")),
    "fortran": (np.asfortranarray(images), labels[:, None].astype("u1")),
    "floats": (images / np.float32(255), labels.astype("f8")),
    "one-hot": (images, np.eye(2)[labels]),
    "first": (rng.integers(0, 256, (2, 3, 4, 4), np.uint8), labels.astype("?")),
    "objects": (images, np.array(["a", "b"])),
}
for i, (name, (x, y)) in enumerate(variants.items()):
    for mode in (1, 2, 3):
        if mode == 1:
            seed("npz", f"{name}-beside", bytes([mode + 128]), part(npy(x)), npy(y))
        if mode == 1 or i < 3:
            seed("npz", f"{name}-{mode}", bytes([mode]), part(npy(x)), npy(y))

# CIFAR-10's binary version. One record is 3073 bytes.
record = bytes([1]) + bytes(range(256)) * 12


def tar(members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


archive = tar({"data_batch_1.bin": record, "batches.meta.txt": b"a\nb\n", "test_batch.bin": record})
seed("cifar", "archive", b"\0", gzip.compress(archive, mtime=0))
seed("cifar", "tar", b"\1", archive.rstrip(b"\0") + bytes(1024))
seed("cifar", "batch", b"\3", record)
seed("cifar", "batch-in-tar", b"\2", record)
seed("cifar", "meta", b"\4", "airplane\nautomobile\n\nbird\n")

# CIFAR's Python version, as NumPy of Python 2 and 3 pickled it: the data are shortened.
rows = np.zeros((2, 3072), np.uint8)
for protocol in (0, 2, 3, 5):
    batch = {b"data": rows, b"labels": [1, 9], b"filenames": [b"a.png", b"b.png"]}
    # Zeros are 90% of it: a batch of fewer columns is refused later, but read by the same code.
    small = batch | {b"data": rows[:, :12]}
    seed("cifar", f"python-{protocol}", b"\5", pickle.dumps(small, protocol))
seed("cifar", "python", b"\5", pickle.dumps(batch, 2))
hundred = {"data": rows[:, :12], "fine_labels": [1, 99], "coarse_labels": [0, 19], "fine_label_names": ["apple", "baby"]}
seed("cifar", "hundred", b"\6", pickle.dumps(hundred, 2))
seed("cifar", "hundred-binary", b"\x08", b"\3\7" + record[1:])

# SVHN: one variable after the other, and one of them packed.


def variable(name, kind, shape, data):
    def element(kind, content):
        return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)

    flags = element(6, struct.pack("<II", kind, 0))
    body = flags + element(5, struct.pack(f"<{len(shape)}i", *shape)) + element(1, name) + element(2, data)
    return struct.pack("<II", 14, len(body)) + body


x = variable(b"X", 9, (2, 2, 3, 2), bytes(range(24)))
y = variable(b"y", 9, (2, 1), bytes([10, 1]))
head = b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM"
packed = [struct.pack("<II", 15, len(z)) + z for z in (zlib.compress(v) for v in (x, y))]
seed("svhn", "plain", b"\0", head + x + y)
seed("svhn", "packed", b"\0", head + b"".join(packed))
seed("svhn", "variable", b"\1", x)
seed("svhn", "newer", b"\0", b"MATLAB 7.3 MAT-file".ljust(520))

# Pictures.
grey = Image.fromarray(rng.integers(0, 256, (9, 11), np.uint8))
colour = Image.fromarray(rng.integers(0, 256, (9, 11, 3), np.uint8))
alpha = Image.fromarray(rng.integers(0, 256, (9, 11, 4), np.uint8))
deep = Image.fromarray(rng.integers(0, 65536, (9, 11), np.uint16))
flat = Image.new("RGB", (40, 30), (10, 200, 90))


def picture(name, image, form, **how):
    out = io.BytesIO()
    image.save(out, form, **how)
    seed("picture", name, out.getvalue())


for name, image in {"grey": grey, "colour": colour, "alpha": alpha, "deep": deep, "bits": grey.convert("1"), "palette": colour.convert("P")}.items():
    picture(f"{name}.png", image, "PNG")
for name, image in {"grey": grey, "colour": colour, "cmyk": colour.convert("CMYK"), "flat": flat}.items():
    picture(f"{name}.jpg", image, "JPEG", quality=60)
    picture(f"{name}-progressive.jpg", image, "JPEG", quality=60, progressive=True)
picture("restarts.jpg", flat, "JPEG", restart_marker_blocks=1)
exif = Image.Exif()
exif[274] = 6
picture("turned.jpg", flat, "JPEG", exif=exif)
for name, image in {"colour": colour, "alpha": alpha, "flat": flat}.items():
    picture(f"{name}.webp", image, "WEBP", quality=50)
    picture(f"{name}-lossless.webp", image, "WEBP", lossless=True)
    picture(f"{name}.bmp", image, "BMP")
picture("moving.webp", flat, "WEBP", save_all=True, append_images=[flat.rotate(90)])
picture("grey.bmp", grey, "BMP")
picture("bits.bmp", grey.convert("1"), "BMP")
picture("other.gif", grey, "GIF")

# Clients files.
seed("clients", "plain", "client,image,class\n1,a.png,x\n1,b.png,y\n2,c.png,x\n2,a.png,y\n")
seed("clients", "all", "domain,split,client,image,class\ns,train,Ulm,a.png,cat\ns,test,Ulm,b.png,dog\ns,validation,Ulm,c.png,cat\n")
seed("clients", "quoted", '\ufeffclient,image,class\r\n\r\n"a ""b""",a.png,"two\nlines"\r\n')
seed("clients", "odd", ",client,image,label\n0,1,a.png,x\n")

# Checkpoints.
tensor = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


def safetensors(tensors, data, **meta):
    header = json.dumps(({"__metadata__": meta} if meta else {}) | tensors).encode()
    return header, data


own = json.dumps(
    {"format": 2, "network": "digits", "classes": 10, "image": [3, 28, 28], "bases": 2, "base-width": "1/2", "max-width": "1",
     "rounds-done": 3, "best": {"round": 0, "accuracy": 0.3}, "deck": None, "config": {"rounds": 5}}
)
four = {
    f"{b}.conv1.{k}": {"dtype": kind, "shape": [1], "data_offsets": [4 * i, 4 * i + 4]}
    for i, (b, k, kind) in enumerate([(0, "weight", "F32"), (0, "bias", "F32"), (1, "weight", "F32"), (1, "bias", "F32")])
}
header, data = safetensors(four, bytes(16), splitmix=own)
seed("checkpoint", "own", b"\0", struct.pack("<Q", len(header)), header, data)
seed("checkpoint", "own-parts", b"\1", part(header), data)
seed("checkpoint", "own-header", b"\2", own)
for kind, size in {"F16": 2, "BF16": 2, "F64": 8, "I64": 8, "BOOL": 1}.items():
    header, data = safetensors({"conv1.weight": {"dtype": kind, "shape": [1], "data_offsets": [0, size]}}, bytes(size))
    seed("checkpoint", f"other-{kind}", b"\1", part(header), data)
header, data = safetensors({f"_orig_mod.module.{k}": v for k, v in four.items()}, bytes(16))
seed("checkpoint", "prefixes", b"\1", part(header), data)
seed("checkpoint", "pointer", b"\0version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
seed("checkpoint", "page", b"\0<!DOCTYPE html><html></html>")
seed("checkpoint", "zip", b"\0PK\3\4")

# Texts of this project.
for path in sorted((ROOT / "presets").glob("[!s]*.toml")):
    seed("config", path.stem, path.read_text())
for path in sorted((ROOT / "networks").glob("*.toml")):
    seed("network", path.stem, path.read_text()[:2000] if len(path.read_text()) > 6000 else path.read_text())
for i, text in enumerate(
    ["pgd-20-eps16", "fgsm", "pgd-7-restarts5-targeted", "1/8", "0.125", "8-4-2-1", "4-2-4d3-1", "ln0.5_0.4", "multi_step50",
     "cosine", "constant", "digits", "512MiB", "1e-3", "8GB", "true", "[1, 2]", "0.1", "iid", "classes", "sgd", "split-mix"]
):
    seed("options", f"{i:02}", bytes([i * 3]), text)

# Reports: of runs whose results are in the repository.
RESULTS = ROOT / "docs" / "results"
RUN = RESULTS / "robust-60-rounds" / "adversarial-seed-1"
seed("report", "metrics", b"\0", "\n".join((RUN / "metrics.jsonl").read_text().splitlines()[:2]))
seed("report", "test", b"\1", (RUN / "test.json").read_text())
seed("report", "grid", b"\2", (RUN / "grid.json").read_text())
seed("report", "clients", b"\3", (RESULTS / "sweep-digits-60" / "lr-0.1_method-fedavg_seed-1_width-1d2" / "clients.json").read_text())
seed("report", "config", b"\4", (RUN / "config.toml").read_text())

# Folder trees: a byte for what is put there, a byte for its name (see the target).
trees = {
    "classes": [(0, 7), (5, 0), (5, 1), (3, 0), (0, 8), (5, 0), (5, 1)],
    "split": [(0, 0), (0, 7), (5, 0), (3, 0), (0, 8), (5, 0), (3, 0), (3, 0), (0, 1), (0, 7), (5, 0), (3, 0), (0, 8), (5, 0)],
    "domains": [(0, 16), (0, 7), (5, 0), (5, 1), (3, 0), (0, 8), (5, 0), (5, 1), (3, 0), (3, 0), (0, 17), (0, 7), (5, 0), (5, 1)],
    "links": [(0, 7), (5, 0), (4, 0), (4, 8), (4, 20), (4, 36)],
    "arrays": [(0, 20), (29, 12), (29, 13), (29, 14), (29, 15)],
}
for name, steps in trees.items():
    seed("tree", name, bytes(b for step in steps for b in step))
