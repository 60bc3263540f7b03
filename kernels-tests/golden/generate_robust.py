"""Writes the golden fixtures of dual batch norm, the attack and adversarial training: see README.md.

The network, its parameters and the batch are those of generate.py; every batch norm is doubled.
"""

import argparse
import pathlib

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import generate as plain

EPSILON, STEPS_OF_ATTACK = 8 / 255, 7
ALPHA = min(1.25 * EPSILON, EPSILON + 4 / 255) / STEPS_OF_ATTACK
LAMBDA = 0.5  # share of the attacked images in training
MIXES = [0.0, 0.3, 0.8, 1.0]
# Key of the attack's noise, as the engine's: seed, round, local step, base.
NOISE_KEY = (7, 3, 0, 0)
# A gradient above this share of its image's largest has a sign that rounding cannot change.
CLEAR = 1e-4
STREAMS = {"adversarial": 1000, "running": 2000, "adversarial.running": 3000}


def pcg4d(v):
    """Jarzynski and Olano, "Hash Functions for GPU Rendering" (2020); `v` is uint32 [..., 4]."""
    with np.errstate(over="ignore"):
        v = v * np.uint32(1664525) + np.uint32(1013904223)

        def mix(v):
            for to, a, b in [(0, 1, 3), (1, 2, 0), (2, 0, 1), (3, 1, 2)]:
                v[..., to] += v[..., a] * v[..., b]

        mix(v)
        v ^= v >> np.uint32(16)
        mix(v)
    return v


def noise(key, samples):
    """Uniform in [-1, 1), [sample][channel][row][column], of the images 0, 1, … of a set."""
    key = pcg4d(np.array(key, dtype=np.uint32))
    pixels = plain.SIZE**2
    v = np.broadcast_to(key, (samples, pixels, 4)).copy()
    v[..., 0] ^= np.arange(samples, dtype=np.uint32)[:, None]
    v[..., 1] ^= np.arange(pixels, dtype=np.uint32)[None, :]
    u = (pcg4d(v) >> np.uint32(8)).astype(np.float64) / 2**23 - 1
    return torch.from_numpy(u[..., :3]).permute(0, 2, 1).reshape(samples, 3, plain.SIZE, plain.SIZE)


class Dual(nn.Module):
    """A batch norm doubled. `share` is that of the adversarial one's output: 0 or 1 in training, any in evaluation."""

    def __init__(self, norm, features, tracked):
        super().__init__()
        self.clean, self.adversarial = (norm(features, track_running_stats=tracked) for _ in range(2))
        self.share = 0.0

    def forward(self, x):
        if self.share in (0.0, 1.0):
            return (self.adversarial if self.share else self.clean)(x)
        return (1 - self.share) * self.clean(x) + self.share * self.adversarial(x)


def network(tracked):
    net = plain.initial_network(plain.SEED)
    for i in range(1, 6):
        old = getattr(net, f"bn{i}")
        dual = Dual(type(old), old.num_features, tracked).double()
        with torch.no_grad():
            dual.clean.weight.copy_(old.weight)
            dual.clean.bias.copy_(old.bias)
            u = lambda kind, j: torch.from_numpy(plain.uniform(plain.SEED, STREAMS[kind] + 2 * i + j, old.num_features))
            dual.adversarial.weight.copy_(1 + u("adversarial", 0) / 4)
            dual.adversarial.bias.copy_(u("adversarial", 1) / 4)
            if tracked:
                for norm, kind in [(dual.clean, "running"), (dual.adversarial, "adversarial.running")]:
                    norm.running_mean.copy_(u(kind, 0) / 4)
                    norm.running_var.copy_(1 + u(kind, 1) / 2)
        setattr(net, f"bn{i}", dual)
    return net


def share(net, value):
    for i in range(1, 6):
        getattr(net, f"bn{i}").share = value


def tensors_of(net):
    """Parameters and running statistics under the engine's names."""
    for name, values in net.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            yield name.replace(".clean.", "."), values


def input_gradient(net, x, labels):
    x = x.detach().requires_grad_()
    F.cross_entropy(net(x), labels, reduction="sum").backward()
    return x.grad


def clip(value, clean):
    return torch.minimum(torch.maximum(value, (clean - EPSILON).clamp(min=0)), (clean + EPSILON).clamp(max=1))


def pgd(net, clean, labels, record):
    """The attack, in evaluation mode; `record` takes, step by step, ±2 for a clear gradient, ±1 for another, 0 for none."""
    x = clip(clean + EPSILON * noise(NOISE_KEY, len(clean)), clean)
    for _ in range(STEPS_OF_ATTACK):
        gradient = input_gradient(net, x, labels)
        largest = gradient.abs().amax(dim=(1, 2, 3), keepdim=True)
        record.append(gradient.sign().to(torch.int8) * (1 + (gradient.abs() > CLEAR * largest)).to(torch.int8))
        x = clip(x + ALPHA * gradient.sign(), clean)
    return x


def fixture(folder, mode):
    tracked = mode == "tracked"
    _, clean, labels = plain.batch(plain.SEED)
    tensors = {}

    # Evaluation: the mix of the two batch norms, forward and backward.
    net = network(tracked).eval()
    for value in MIXES:
        share(net, value)
        tensors[f"mix/{value}/logits"] = net(clean).detach()
        tensors[f"mix/{value}/gradient/x"] = input_gradient(net, clean, labels)[:, :, ::3, ::3].contiguous()

    # The attack on the adversarial batch norms.
    share(net, 1.0)
    signs = []
    attacked = pgd(net, clean, labels, signs)
    tensors["pgd/signs"] = torch.stack(signs)

    # Training: ten steps on the clean and the attacked images, which stay the same. Without the layer correction where
    # statistics are tracked, with it elsewhere.
    net = network(tracked).train()
    if tracked:
        net.correction = False
    optimiser = torch.optim.SGD(net.parameters(), plain.LEARNING_RATE, plain.MOMENTUM, weight_decay=plain.WEIGHT_DECAY)
    losses = []
    for step in range(plain.STEPS):
        optimiser.zero_grad()
        share(net, 0.0)
        of_clean = F.cross_entropy(net(clean), labels)
        share(net, 1.0)
        of_attacked = F.cross_entropy(net(attacked), labels)
        ((1 - LAMBDA) * of_clean + LAMBDA * of_attacked).backward()
        losses.append(torch.stack([of_clean.detach(), of_attacked.detach()]))
        if step == 0:
            for name, parameter in net.named_parameters():
                plain.store(tensors, f"gradient/{name.replace('.clean.', '.')}", parameter.grad)
        optimiser.step()
        if step == 0:
            for name, values in tensors_of(net):
                if "running" in name:
                    tensors[f"first/{name}"] = values.clone()
    tensors["losses"] = torch.stack(losses)
    for name, values in tensors_of(net):
        plain.store(tensors, f"final/{name}", values)
    print(f"{mode}: losses of clean and attacked images {[[round(v, 4) for v in pair.tolist()] for pair in losses]}")
    print(f"{mode}: {(tensors['pgd/signs'].abs() == 2).double().mean():.4f} of the signs are clear")
    plain.write(folder / f"robust_{mode}.safetensors", {name: values.contiguous() for name, values in tensors.items()})


def main():
    here = pathlib.Path(__file__).parent
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--output", type=pathlib.Path, default=here, help="folder to write to (default: this one)")
    arguments = arguments.parse_args()
    torch.set_num_threads(1)
    for mode in ["batch", "tracked"]:
        fixture(arguments.output, mode)


if __name__ == "__main__":
    main()
