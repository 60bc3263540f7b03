"""Writes the golden fixtures of the other networks: PreAct ResNet-18, AlexNet and one without batch norms. See README.md.

The networks are written out here a second time, by hand; their parameters have the names of `networks/*.toml`.
"""

import argparse
import pathlib

import torch
from torch import nn
from torch.nn import functional as F

import generate as plain

LABELS = [4, 1, 7, 4]
SCALE = 8.0  # the layer correction in training
# AlexNet takes one step: in its second, rounding to float32 passes a kink, and PyTorch's own float32 parts from its float64.
STEPS = {"preact-resnet18": 3, "alexnet": 1, "plain": 3}
LEARNING_RATE = 0.02
EPSILON = 8 / 255
# A gradient above this share of its image's largest has a sign that rounding cannot change.
CLEAR = 1e-4
# Parameters and gradients with more elements than this are stored in part, as in generate.py.
plain.WHOLE = 1_000
# Chosen by `--search`: the seeds whose first steps stay farthest from the kinks of ReLUs and pools.
SEEDS = {"preact-resnet18": 32, "alexnet": 20, "plain": 23}


def norm(features, flat=False):
    return (nn.BatchNorm1d if flat else nn.BatchNorm2d)(features, track_running_stats=False)


class Network(nn.Module):
    """What is common: the layer correction, and how far a forward stays from kinks."""

    def __init__(self):
        super().__init__()
        self.margin = float("inf")

    def scaled(self, z):
        return z * SCALE if self.training else z

    def relu(self, x):
        self.margin = min(self.margin, x.detach().abs().min().item())
        return F.relu(x)

    def max_pool(self, x, kernel, stride, padding=0):
        windows = F.pad(x.detach(), [padding] * 4, value=-1e9).unfold(2, kernel, stride).unfold(3, kernel, stride)
        top = windows.flatten(-2).topk(2).values
        # Ties among values that a ReLU cut off pass no gradient.
        lead = (top[..., 0] - top[..., 1])[top[..., 0] > 0]
        self.margin = min(self.margin, lead.min().item())
        return F.max_pool2d(x, kernel, stride, padding)


class Block(nn.Module):
    def __init__(self, net, before, after, stride):
        super().__init__()
        self.net = [net]
        self.bn1 = norm(before)
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn2 = norm(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        if stride != 1 or before != after:
            self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False))

    def forward(self, x):
        net = self.net[0]
        a = net.relu(self.bn1(x))
        shortcut = net.scaled(self.shortcut(a)) if hasattr(self, "shortcut") else x
        z = net.scaled(self.conv1(a))
        return net.scaled(self.conv2(net.relu(self.bn2(z)))) + shortcut


class PreActResNet18(Network):
    """At r = 1/16."""

    size = (3, 32, 32)

    def __init__(self):
        super().__init__()
        widths = [4, 8, 16, 32]
        self.conv1 = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        before = widths[0]
        for stage, after in enumerate(widths, 1):
            stride = 1 if stage == 1 else 2
            setattr(self, f"layer{stage}", nn.Sequential(Block(self, before, after, stride), Block(self, after, after, 1)))
            before = after
        self.bn = norm(before)
        self.fc = nn.Linear(before, plain.CLASSES)

    def forward(self, x):
        x = self.scaled(self.conv1(x))
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
        x = self.relu(self.bn(x))
        return self.fc(x.mean(dim=(2, 3)))


class AlexNet(Network):
    """At r = 1/32."""

    size = (3, 256, 256)

    def __init__(self):
        super().__init__()
        c = [2, 6, 12, 8, 8]
        self.features = nn.ModuleDict(
            {
                "conv1": nn.Conv2d(3, c[0], 11, 4, 2),
                "bn1": norm(c[0]),
                "conv2": nn.Conv2d(c[0], c[1], 5, padding=2),
                "bn2": norm(c[1]),
                "conv3": nn.Conv2d(c[1], c[2], 3, padding=1),
                "bn3": norm(c[2]),
                "conv4": nn.Conv2d(c[2], c[3], 3, padding=1),
                "bn4": norm(c[3]),
                "conv5": nn.Conv2d(c[3], c[4], 3, padding=1),
                "bn5": norm(c[4]),
            }
        )
        self.classifier = nn.ModuleDict(
            {
                "fc1": nn.Linear(c[4] * 36, 128),
                "bn6": norm(128, flat=True),
                "fc2": nn.Linear(128, 128),
                "bn7": norm(128, flat=True),
                "fc3": nn.Linear(128, plain.CLASSES),
            }
        )

    def forward(self, x):
        f, c = self.features, self.classifier
        for i in range(1, 6):
            x = self.relu(f[f"bn{i}"](self.scaled(f[f"conv{i}"](x))))
            if i in (1, 2, 5):
                x = self.max_pool(x, 3, 2)
        x = F.adaptive_avg_pool2d(x, 6).flatten(1)
        x = self.relu(c["bn6"](self.scaled(c["fc1"](x))))
        x = self.relu(c["bn7"](self.scaled(c["fc2"](x))))
        return c["fc3"](x)


class Plain(Network):
    """Without batch norms: ReLUs on their own, a residual with biases, pools with padding and overlap. As in the test's TOML."""

    size = (3, 12, 10)

    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(3, 5, 3, padding=1)
        self.b = nn.Conv2d(5, 6, 3, 2, padding=1)
        self.c = nn.Conv2d(6, 6, 3, padding=1)
        self.d = nn.Conv2d(5, 6, 1, 2)
        self.h = nn.Linear(6 * 2 * 3, 7)
        self.fc = nn.Linear(7, plain.CLASSES)

    def forward(self, x):
        x = self.relu(self.scaled(self.a(x)))
        x = self.scaled(self.c(self.relu(self.scaled(self.b(x))))) + self.scaled(self.d(x))
        x = self.max_pool(self.relu(x), 3, 1, 1)
        x = F.adaptive_avg_pool2d(x, (2, 3)).flatten(1)
        x = self.relu(self.scaled(self.h(x)))
        return self.fc(x)


NETWORKS = {"preact-resnet18": PreActResNet18, "alexnet": AlexNet, "plain": Plain}


def exponent(fan_in):
    """Parameters are drawn from ±2^-exponent, near PyTorch's default bound: the least with 4^exponent ≥ fan_in."""
    e = 0
    while 4**e < fan_in:
        e += 1
    return e


def initial(name, seed):
    net = NETWORKS[name]().double()
    named = dict(net.named_parameters())
    with torch.no_grad():
        for stream, key in enumerate(sorted(named)):
            parameter = named[key]
            values = torch.from_numpy(plain.uniform(seed, stream, parameter.numel())).view_as(parameter)
            layer, kind = key.rsplit(".", 1)
            if layer.split(".")[-1].startswith("bn"):
                parameter.copy_(values / 4 + (1 if kind == "weight" else 0))
            else:
                fan_in = named[f"{layer}.weight"][0].numel()
                # Without batch norms the layer correction would let activations grow.
                parameter.copy_(values * 2.0 ** -(exponent(fan_in) + (3 if name == "plain" else 0)))
    return net


def batch(name, seed):
    channels, height, width = NETWORKS[name].size
    u = plain.uniform(seed, plain.IMAGE_STREAM, len(LABELS) * channels * height * width)
    pixels = torch.from_numpy((u + 1) * 128).floor().view(len(LABELS), height, width, channels)
    return (pixels / 255).permute(0, 3, 1, 2).contiguous(), torch.tensor(LABELS)


def fixture(name, seed):
    x, labels = batch(name, seed)
    tensors = {}
    net = initial(name, seed).eval()
    tensors["logits.eval"] = net(x).detach()
    clean = x.clone().requires_grad_()
    F.cross_entropy(net(clean), labels, reduction="sum").backward()
    largest = clean.grad.abs().amax(dim=(1, 2, 3), keepdim=True)
    signs = clean.grad.sign().to(torch.int8) * (1 + (clean.grad.abs() > CLEAR * largest)).to(torch.int8)
    tensors["signs[::31]"] = signs.flatten()[::31].contiguous()

    net = initial(name, seed).train()
    optimiser = torch.optim.SGD(net.parameters(), LEARNING_RATE, plain.MOMENTUM, weight_decay=plain.WEIGHT_DECAY)
    losses = []
    for step in range(STEPS[name]):
        optimiser.zero_grad()
        loss = F.cross_entropy(net(x), labels)
        loss.backward()
        losses.append(loss.detach())
        if step == 0:
            margin = net.margin
            for key, parameter in net.named_parameters():
                plain.store(tensors, f"gradient/{key}", parameter.grad)
        optimiser.step()
    tensors["losses"] = torch.stack(losses)
    for key, parameter in net.named_parameters():
        plain.store(tensors, f"final/{key}", parameter.detach())
    print(f"{name}: losses {[round(v.item(), 4) for v in losses]}, margin {margin:.2e}")
    return {key: values.contiguous() for key, values in tensors.items()}


def search(count):
    for name in NETWORKS:
        best = (0.0, 0)
        for seed in range(1, count + 1):
            x, _ = batch(name, seed)
            net = initial(name, seed).train()
            net(x)
            best = max(best, (net.margin, seed))
        print(f"{name}: seed {best[1]}, margin {best[0]:.2e}")


def main():
    here = pathlib.Path(__file__).parent
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--output", type=pathlib.Path, default=here, help="folder to write to (default: this one)")
    arguments.add_argument("--search", type=int, help="only print which of so many seeds stays farthest from kinks")
    arguments = arguments.parse_args()
    torch.set_num_threads(1)
    if arguments.search:
        return search(arguments.search)
    for name in NETWORKS:
        plain.write(arguments.output / f"network_{name}.safetensors", fixture(name, SEEDS[name]))


if __name__ == "__main__":
    main()
