"""Writes mixed.safetensors and mixed_residual.safetensors: what ONNX Runtime says of the .onnx files. See README.md."""

import pathlib

import numpy as np
import onnx
import onnxruntime
from safetensors.numpy import save_file

IMAGES, CLASSES = 5, 10


def noise(key, count):
    """The tests' pseudo-random values in [-1, 1), as float32."""
    with np.errstate(over="ignore"):
        x = (np.uint32(key) * np.uint32(0x9E3779B9) ^ np.arange(count, dtype=np.uint32)) * np.uint32(0x85EBCA6B)
        x = (x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35)
        x = (x ^ (x >> np.uint32(16))) >> np.uint32(8)
    return x.astype(np.float32) / np.float32(8388608) - np.float32(1)


def write(name):
    here = pathlib.Path(__file__).parent
    onnx.checker.check_model(str(here / f"{name}.onnx"), full_check=True)
    session = onnxruntime.InferenceSession(here / f"{name}.onnx", providers=["CPUExecutionProvider"])
    pixels = (noise(1, IMAGES * 28 * 28 * 3) * np.float32(127) + np.float32(128)).astype(np.uint8)
    images = pixels.reshape(IMAGES, 28, 28, 3).transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
    (logits,) = session.run(None, {"images": images})
    assert logits.shape == (IMAGES, CLASSES)
    # A batch of any size, each image for itself.
    alone = np.concatenate([session.run(None, {"images": images[i : i + 1]})[0] for i in range(IMAGES)])
    assert np.allclose(logits, alone, atol=1e-5)
    save_file({"logits": logits}, here / f"{name}.safetensors", {"provenance": f"generate_onnx.py, onnxruntime {onnxruntime.__version__}"})
    print(f"{session.get_modelmeta().description}\n{logits.round(3)}")


if __name__ == "__main__":
    write("mixed")
    write("mixed_residual")
