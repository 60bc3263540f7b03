"""Writes digits_rounds.safetensors: federated rounds of three clients by PyTorch in float64, one run for each optimiser of the server and one
with SCAFFOLD's control variates. Network, initial parameters and images are those of generate.py.

See README.md for what the file holds and how to run this.
"""

import argparse
import pathlib

import torch

from generate import SEED, batch, initial_network, losses
from safetensors.torch import save_file

LEARNING_RATE, WEIGHT_DECAY = 0.003, 5e-4
# The images of each client's local steps. Clients take different numbers of them: ten in a round.
BATCHES = [
    [[0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4], [5, 4, 3, 2, 1], [3, 4, 5, 0, 1, 2]],
    [[2, 3, 4, 5, 0], [1, 2, 3, 4, 5, 0], [3, 4, 5, 0, 1], [5, 0, 1, 2, 4]],
    [[1, 2, 3, 4, 5], [4, 5, 0, 2, 3]],
]
# Each client's share of all images.
SHARES = [0.5, 0.375, 0.125]
# Who takes part in each round.
ROUNDS = [[0, 1, 2], [0, 2], [1, 2]]
# The server's optimisers: learning rate, first and second decay, tau.
SETTINGS = {"momentum": (0.5, 0.75, 0.0, 0.0), "adagrad": (0.01, 0.75, 0.0, 0.01), "adam": (0.01, 0.75, 0.9, 0.01), "yogi": (0.01, 0.75, 0.9, 0.01)}
# Every so many elements of a parameter are stored.
STRIDE = 97


class ServerOptimizer:
    """Algorithm 2 of Reddi et al. (2021): one rule for all parameters."""

    def __init__(self, name, parameters):
        self.name, self.mean, self.square = name, {}, {}
        for key, value in parameters.items():
            self.mean[key] = torch.zeros_like(value)
            self.square[key] = torch.full_like(value, SETTINGS[name][3] ** 2)

    def step(self, parameters, change):
        rate, first, second, tau = SETTINGS[self.name]
        for key, delta in change.items():
            if self.name == "momentum":
                self.mean[key] = first * self.mean[key] + delta
                parameters[key] = parameters[key] + rate * self.mean[key]
                continue
            self.mean[key] = first * self.mean[key] + (1 - first) * delta
            squared, v = delta.square(), self.square[key]
            self.square[key] = {
                "adagrad": lambda: v + squared,
                "adam": lambda: second * v + (1 - second) * squared,
                "yogi": lambda: v - (1 - second) * squared * torch.sign(v - squared),
            }[self.name]()
            parameters[key] = parameters[key] + rate * self.mean[key] / (self.square[key].sqrt() + tau)


def local(network, start, images, labels, batches, correction):
    """Parameters after SGD from `start`, each gradient corrected."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(start[name])
    optimiser = torch.optim.SGD(network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    for chosen in batches:
        optimiser.zero_grad()
        losses(network(images[chosen]), labels[chosen], False).mean().backward()
        for name, parameter in network.named_parameters():
            parameter.grad += correction[name]
        optimiser.step()
    return {name: parameter.detach().clone() for name, parameter in network.named_parameters()}


def federated(server_optimizer, scaffold):
    """Parameters after the rounds, and the control variates, the server's and each client's."""
    _, images, labels = batch(SEED)
    network = initial_network(SEED).train()
    server = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    zeros = {name: torch.zeros_like(value) for name, value in server.items()}
    control, own = dict(zeros), [dict(zeros) for _ in SHARES]
    optimizer = ServerOptimizer(server_optimizer, server) if server_optimizer else None
    for participants in ROUNDS:
        total = sum(SHARES[client] for client in participants)
        change, control_change = dict(zeros), dict(zeros)
        for client in participants:
            correction = {name: control[name] - own[client][name] for name in server} if scaffold else zeros
            trained = local(network, server, images, labels, BATCHES[client], correction)
            for name in server:
                change[name] = change[name] + SHARES[client] / total * (trained[name] - server[name])
                if scaffold:
                    steps = len(BATCHES[client])
                    # Option II, the weight decay being part of the loss.
                    new = own[client][name] - control[name] + (server[name] - trained[name]) / (steps * LEARNING_RATE)
                    control_change[name] = control_change[name] + SHARES[client] * (new - own[client][name])
                    own[client][name] = new
        if optimizer:
            optimizer.step(server, change)
        else:
            server = {name: server[name] + change[name] for name in server}
        control = {name: control[name] + control_change[name] for name in server}
    return server, control, own


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--output", type=pathlib.Path, default=pathlib.Path(__file__).parent, help="folder to write to (default: this one)")
    arguments = arguments.parse_args()
    torch.set_num_threads(1)
    tensors = {}

    def store(prefix, parameters):
        for name, values in parameters.items():
            # Biases before a batch norm change nothing: their gradients are rounding.
            if name.endswith("weight") or name.startswith(("bn", "fc3")):
                tensors[f"{prefix}/{name}[::{STRIDE}]"] = values.flatten()[::STRIDE].clone()

    for name in [None, *SETTINGS]:
        store(name or "average", federated(name, False)[0])
    server, control, own = federated(None, True)
    store("scaffold", server)
    store("control", control)
    for client, values in enumerate(own):
        store(f"control.{client}", values)
    path = arguments.output / "digits_rounds.safetensors"
    save_file(tensors, path, {"provenance": f"kernels-tests/golden/generate_rounds.py, torch {torch.__version__}, seed {SEED}"})
    print(f"{path.name}: {path.stat().st_size:,} bytes, {len(tensors)} tensors")


if __name__ == "__main__":
    main()
