#!/usr/bin/env python3
"""Makes resize_*.bin: a test pattern resized to 28x28 by Pillow 13.0.0, H·W·C bytes.

    pip install pillow numpy && python3 make_resize.py
"""

from pathlib import Path

import numpy as np
from PIL import Image

for height, width, channels in [(16, 16, 1), (8, 8, 1), (32, 32, 3), (32, 20, 3), (150, 101, 3)]:
    y, x, c = np.ogrid[:height, :width, :channels]
    pattern = ((x * 37 + y * 91 + x * y * 13 + c * 59) % 256).astype(np.uint8)
    image = Image.fromarray(pattern[:, :, 0] if channels == 1 else pattern).resize((28, 28), Image.Resampling.BILINEAR)
    Path(__file__).with_name(f"resize_{height}x{width}x{channels}.bin").write_bytes(np.asarray(image).tobytes())
