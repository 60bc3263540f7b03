"""Writes the MATLAB files and pickles with which the readers of SVHN and CIFAR are tested.

pip install numpy==2.4.6 scipy==1.17.1; python make_arrays.py, in this folder (Python 3.11).
"""

import pathlib
import pickle

import numpy as np
import scipy.io

here = pathlib.Path(__file__).parent
# Two images of 2 rows, 3 columns, 3 channels.
images = np.arange(36, dtype=np.uint8).reshape(2, 3, 3, 2)
for name, packed, labels in [("svhn", False, np.uint8), ("svhn_packed", True, np.uint8), ("svhn_double", False, np.float64)]:
    scipy.io.savemat(here / f"{name}.mat", {"X": images, "y": np.array([[10], [4]], labels)}, do_compression=packed)

batch = {"data": np.array([[1, 2, 3], [250, 251, 252]], np.uint8), "labels": [7, 0], "names": ["cat", "dog"]}
for protocol in range(6):
    (here / f"pickle_{protocol}.bin").write_bytes(pickle.dumps(batch, protocol=protocol))
odd = {b"data": np.asfortranarray(batch["data"]), b"labels": np.array([7, 0]), b"scalars": [np.int64(7), np.uint8(0)]}
(here / "pickle_odd.bin").write_bytes(pickle.dumps(odd, protocol=2))
