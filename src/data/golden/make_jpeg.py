#!/usr/bin/env python3
"""Writes jpeg_halved.bin: small JPEGs whose colours have half the columns or rows, with the pixels that Pillow reads from them.

Needs Pillow and NumPy; Pillow 13 with libjpeg-turbo 3.2 wrote the file that is here. Of each picture: width, height and the JPEG's length
(little-endian, 32 bits), the JPEG, and its pixels.
"""

import io
import struct
from pathlib import Path

import numpy
from PIL import Image

SUBSAMPLING = {"422": 1, "420": 2}
PICTURES = [  # colours, width, height, options
    ("420", 1, 3, {}),
    ("420", 2, 2, {}),
    ("420", 3, 5, {"progressive": True}),
    ("420", 4, 4, {}),
    ("420", 5, 4, {}),
    ("420", 6, 6, {"progressive": True}),
    ("420", 18, 7, {"restart_marker_blocks": 1}),
    ("420", 16, 18, {}),
    ("420", 18, 18, {"progressive": True, "restart_marker_blocks": 1}),
    ("422", 3, 2, {}),
    ("422", 6, 5, {"progressive": True}),
    ("422", 20, 4, {"restart_marker_blocks": 1}),
    ("440", 3, 6, {}),
    ("440", 5, 12, {}),
]


def picture(colours: str, width: int, height: int, options: dict, random: numpy.random.Generator) -> bytes:
    # Pillow writes no 4:4:0: of one unit, it is 4:2:2 with other factors and sides.
    turned = colours == "440"
    size = (width, height) if turned else (height, width)
    pixels = random.integers(0, 256, (*size, 3), dtype=numpy.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=85, optimize=True, subsampling=SUBSAMPLING.get(colours, 1), **options)
    jpeg = bytearray(file.getvalue())
    if turned:
        frame = jpeg.find(b"\xff\xc0")
        jpeg[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
        jpeg[frame + 11] = 0x12
    return bytes(jpeg)


random = numpy.random.default_rng(2022)
with open(Path(__file__).parent / "jpeg_halved.bin", "wb") as out:
    for colours, width, height, options in PICTURES:
        jpeg = picture(colours, width, height, options, random)
        read = Image.open(io.BytesIO(jpeg)).convert("RGB")
        assert read.size == (width, height)
        out.write(struct.pack("<III", width, height, len(jpeg)) + jpeg + read.tobytes())
