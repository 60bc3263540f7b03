"""Writes the golden fixtures of this folder: one base of the Digits network trained by PyTorch in float64.

See README.md for what the files hold and how to run this.
"""

import argparse
import math
import pathlib

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

RATIO = 1 / 8  # width of the base; the layer correction divides by it in training
SIZE = 28
CLASSES = 10
LABELS = [4, 1, 7, 4, 4, 1]  # three classes, so that the masked loss has something to mask
STEPS = 10
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.05, 0.9, 5e-4
ADAM_LEARNING_RATE = 0.001
# Parameters (and gradients) with more elements than this are stored as every STRIDE-th element.
WHOLE, STRIDE = 10_000, 31
# Chosen by `--search`: see margins().
SEED = 36
# Parameters are drawn from ±2^-EXPONENT, near PyTorch's default bound for a base of this ratio with rescaled fan-in.
EXPONENT = {"conv1": 3, "conv2": 5, "conv3": 5, "fc1": 6, "fc2": 5, "fc3": 4}
# Stream numbers for what is not a parameter (those use their place in named_parameters()).
IMAGE_STREAM, CHECKSUM_STREAM = 0xFFFE, 0xFFFF


def uniform(seed, stream, count):
    """`count` multiples of 2^-15 in [-1, 1), by splitmix64 of (seed, stream, element)."""
    with np.errstate(over="ignore"):
        x = np.uint64((seed << 48) + (stream << 32)) + np.arange(count, dtype=np.uint64)
        x += np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(31)
    return (x >> np.uint64(48)).astype(np.float64) / 2**15 - 1


class Digits(nn.Module):
    """The Digits network at r = 1/8, its batch norms using the batch's statistics in training and evaluation."""

    correction = True  # the layer correction in training

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 5, padding=2)
        self.bn1 = nn.BatchNorm2d(8, track_running_stats=False)
        self.conv2 = nn.Conv2d(8, 8, 5, padding=2)
        self.bn2 = nn.BatchNorm2d(8, track_running_stats=False)
        self.conv3 = nn.Conv2d(8, 16, 5, padding=2)
        self.bn3 = nn.BatchNorm2d(16, track_running_stats=False)
        self.fc1 = nn.Linear(16 * (SIZE // 4) ** 2, 256)
        self.bn4 = nn.BatchNorm1d(256, track_running_stats=False)
        self.fc2 = nn.Linear(256, 64)
        self.bn5 = nn.BatchNorm1d(64, track_running_stats=False)
        self.fc3 = nn.Linear(64, CLASSES)

    def forward(self, x, record=None):
        """Logits; `record`, a dict, receives every activation."""
        record = {} if record is None else record
        scale = 1 / RATIO if self.training and self.correction else 1.0

        def block(x, layer, norm):
            z = getattr(self, layer)(x) * scale
            normalized = getattr(self, norm)(z)
            record[f"{layer}.z"], record[f"{layer}.n"], record[f"{layer}.y"] = z, normalized, F.relu(normalized)
            return record[f"{layer}.y"]

        x = record["pool1"] = F.max_pool2d(block(x, "conv1", "bn1"), 2)
        x = record["pool2"] = F.max_pool2d(block(x, "conv2", "bn2"), 2)
        x = block(x, "conv3", "bn3").flatten(1)
        x = block(x, "fc1", "bn4")
        x = block(x, "fc2", "bn5")
        record["logits"] = self.fc3(x)
        return record["logits"]


def initial_network(seed):
    network = Digits().double()
    with torch.no_grad():
        for stream, (name, parameter) in enumerate(network.named_parameters()):
            values = torch.from_numpy(uniform(seed, stream, parameter.numel())).view_as(parameter)
            layer, kind = name.split(".")
            if layer.startswith("bn"):
                parameter.copy_(values / 4 + (1 if kind == "weight" else 0))
            else:
                parameter.copy_(values * 2.0 ** -EXPONENT[layer])
    return network


def images(seed):
    """Bytes [sample][row][column][channel]: a disc that differs from sample to sample, in noise."""
    shape = (len(LABELS), SIZE, SIZE, 3)
    noise = uniform(seed, IMAGE_STREAM, math.prod(shape)).reshape(shape)
    sample, row, column, channel = np.indices(shape)
    label = np.array(LABELS)[sample]
    distance = np.hypot(row - 8 - label, column - 18 + label - sample)
    disc = np.clip(5 + channel - distance / 1.5, -3, 3) / 3
    return np.round((0.7 * disc + 0.3 * noise) * 127 + 127.5).clip(0, 255).astype(np.uint8)


def batch(seed):
    bytes_ = torch.from_numpy(images(seed))
    x = (bytes_.double() / 255).permute(0, 3, 1, 2).contiguous()
    return bytes_, x, torch.tensor(LABELS)


def losses(logits, labels, masked):
    """Cross entropy of each sample. The masked loss multiplies the logits of absent classes by 0."""
    if masked:
        present = torch.zeros(CLASSES, dtype=logits.dtype)
        present[labels.unique()] = 1
        logits = logits * present
    return F.cross_entropy(logits, labels, reduction="none")


def margins(seed):
    """How far the first step's forward keeps from a kink: the least |input| of a ReLU, and the least lead of a pool's
    maximum over its runner-up where the maximum passed the ReLU. A float32 implementation with errors below this takes
    the same branches, so its gradients must agree too."""
    _, x, _ = batch(seed)
    record = {}
    with torch.no_grad():
        initial_network(seed).train()(x, record)
    relu = min(value.abs().min().item() for name, value in record.items() if name.endswith(".n"))
    pool = math.inf
    for name in ["conv1.y", "conv2.y"]:
        windows = record[name].unfold(2, 2, 2).unfold(3, 2, 2).flatten(-2)
        first, second = windows.topk(2).values.unbind(-1)
        pool = min(pool, (first - second)[first > 0].min().item())
    return relu, pool


def checksums(values):
    """Sum, Euclidean norm, and the sum weighted by pseudo-random numbers (which notices misplaced elements)."""
    values = values.detach().flatten()
    weights = torch.from_numpy(uniform(0, CHECKSUM_STREAM, values.numel()))
    return torch.stack([values.sum(), values.norm(), (values * weights).sum()])


def store(tensors, name, values):
    """Stores a parameter or its gradient: whole if it is small, else every STRIDE-th element of it."""
    if values.numel() > WHOLE:
        tensors[f"{name}[::{STRIDE}]"] = values.detach().flatten()[::STRIDE].clone()
    else:
        tensors[name] = values.detach().clone()


def write(path, tensors):
    # One entry only: safetensors writes several in no fixed order.
    save_file(tensors, path, {"provenance": f"kernels-tests/golden/generate.py, torch {torch.__version__}, seed {SEED}"})
    print(f"{path.name}: {path.stat().st_size:,} bytes, {len(tensors)} tensors")


def forward_fixture(folder):
    bytes_, x, labels = batch(SEED)
    network = initial_network(SEED)
    tensors = {"images": bytes_, "labels": labels.int()}
    record = {}
    network.train()(x, record)
    for name, values in record.items():
        if not name.endswith(".n"):  # the input of the ReLU follows from z
            tensors[name] = values.detach().contiguous()
    tensors["logits.eval"] = network.eval()(x).detach()
    for name, parameter in network.named_parameters():
        tensors[f"initial_checksums/{name}"] = checksums(parameter)
    write(folder / "digits_forward.safetensors", tensors)


def training_fixture(folder, name, masked):
    _, x, labels = batch(SEED)
    network = initial_network(SEED).train()
    parameters = dict(network.named_parameters())
    optimiser = torch.optim.SGD(network.parameters(), LEARNING_RATE, MOMENTUM, weight_decay=WEIGHT_DECAY)
    tensors = {}
    mean_losses, steps = [], {name: [] for name in parameters}
    for step in range(STEPS):
        x = x.detach().requires_grad_()
        optimiser.zero_grad()
        logits = network(x)
        logits.retain_grad()
        per_sample = losses(logits, labels, masked)
        loss = per_sample.mean()
        loss.backward()
        mean_losses.append(loss.detach())
        if step == 0:
            tensors["loss"] = per_sample.detach()
            tensors["gradient/logits"] = logits.grad
            tensors["gradient/x"] = x.grad
            for parameter, values in parameters.items():
                store(tensors, f"gradient/{parameter}", values.grad)
                tensors[f"gradient_checksums/{parameter}"] = checksums(values.grad)
        optimiser.step()
        for parameter, values in parameters.items():
            steps[parameter].append(checksums(values))
    tensors["step_losses"] = torch.stack(mean_losses)
    for parameter, values in parameters.items():
        tensors[f"step_checksums/{parameter}"] = torch.stack(steps[parameter])
        store(tensors, f"final/{parameter}", values)
    tensors["final/logits.eval"] = network.eval()(x).detach()
    print(f"{name}: losses {[round(loss.item(), 4) for loss in mean_losses]}")
    write(folder / f"{name}.safetensors", tensors)


def adam_fixture(folder):
    """The same ten steps by Adam. Biases before a batch norm are left out: their gradients are rounding, which Adam takes for real."""
    _, x, labels = batch(SEED)
    network = initial_network(SEED).train()
    optimiser = torch.optim.Adam(network.parameters(), ADAM_LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    tensors, mean_losses = {}, []
    for _ in range(STEPS):
        optimiser.zero_grad()
        loss = losses(network(x), labels, False).mean()
        loss.backward()
        optimiser.step()
        mean_losses.append(loss.detach())
    tensors["step_losses"] = torch.stack(mean_losses)
    for parameter, values in network.named_parameters():
        if parameter.split(".")[1] == "weight" or parameter.split(".")[0] in ("fc3", "bn1", "bn2", "bn3", "bn4", "bn5"):
            store(tensors, f"final/{parameter}", values)
    print(f"adam: losses {[round(loss.item(), 4) for loss in mean_losses]}")
    write(folder / "digits_adam.safetensors", tensors)


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--search", type=int, metavar="N", help="only print the margins of the first N seeds")
    here = pathlib.Path(__file__).parent
    arguments.add_argument("--output", type=pathlib.Path, default=here, help="folder to write to (default: this one)")
    arguments = arguments.parse_args()
    torch.set_num_threads(1)  # one order of summation, hence the same bits on every run
    if arguments.search:
        for seed in range(1, arguments.search + 1):
            print("seed {}: ReLU {:.2e}, pool {:.2e}".format(seed, *margins(seed)))
        return
    print("margins: ReLU {:.2e}, pool {:.2e}".format(*margins(SEED)))
    forward_fixture(arguments.output)
    training_fixture(arguments.output, "digits_plain", masked=False)
    training_fixture(arguments.output, "digits_masked", masked=True)
    adam_fixture(arguments.output)


if __name__ == "__main__":
    main()
