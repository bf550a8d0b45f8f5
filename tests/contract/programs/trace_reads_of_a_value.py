"""Every way to read a value in forward is refused with the same words, and names the remedy."""

import torch

RETURNS = ["float", "int", "bool", "while", "index", "list", "max"]


class Net(torch.nn.Module):
    def __init__(self, read):
        super().__init__()
        self.read = read

    def forward(self, x):
        self.read(x.sum())
        return x


def loop(value):
    while value > 0:
        value = value - 1


def program(poptorch):
    reads = {
        "float": float,
        "int": int,
        "bool": lambda value: value > 0 and value < 1,
        "while": loop,
        "index": lambda value: [1, 2, 3][value.int()],
        "list": lambda value: value.tolist(),
        "max": lambda value: max(value, 0 * value),
    }
    found = []
    for name, read in reads.items():
        try:
            poptorch.inferenceModel(Net(read))(torch.ones(2))
        except poptorch.Error as error:
            if "item" in str(error) or name == "list":
                found.append(name)
    return found
