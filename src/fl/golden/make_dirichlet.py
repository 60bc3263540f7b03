"""Writes dirichlet.csv: how often a share of a symmetric Dirichlet law lies below bounds, of a million NumPy draws.

    python3 -m venv venv && venv/bin/pip install numpy==2.4.6
    venv/bin/python make_dirichlet.py > dirichlet.csv

A share of a small concentration can be below the smallest number, where NumPy gives 0; every bound is far above that.
"""

import numpy as np

DRAWS = 1_000_000
# Those with a half are between two whole numbers of images of a class of 200.
BOUNDS = np.array([1e-100, 1e-30, 1e-10, 1e-5, 0.5 / 200, 2.5 / 200, 6.5 / 200, 12.5 / 200, 16.5 / 200, 18.5 / 200, 19.5 / 200, 20.5 / 200,
                   21.5 / 200, 24.5 / 200, 30.5 / 200, 40.5 / 200, 60.5 / 200, 100.5 / 200, 150.5 / 200, 190.5 / 200, 199.5 / 200,
                   0.9, 0.99, 0.99999, 0.9999999999])
BOUNDS.sort()

rng = np.random.Generator(np.random.PCG64(20220425))
print("alpha,shares,bounds,below")
for alpha, shares in [(1e-3, 10), (1e-3, 100), (0.05, 10), (0.3, 4), (0.5, 10), (1.0, 10), (1.0, 100), (10.0, 10), (1e3, 10)]:
    # The marginal of one share, by blocks to save memory.
    own = np.concatenate([rng.dirichlet(np.full(shares, alpha), DRAWS // 100)[:, 0] for _ in range(100)])
    below = [(own < bound).mean() for bound in BOUNDS]
    print(f"{alpha},{shares},{' '.join(repr(float(b)) for b in BOUNDS)},{' '.join(repr(float(b)) for b in below)}")
