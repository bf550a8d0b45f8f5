"""Nested tuples, lists, dicts, None, keywords, defaults and numbers are inputs."""

import warnings

import torch

RETURNS = [[10.0, 20.0], [13.0, 23.0]]


class Net(torch.nn.Module):
    def forward(self, pair, extra, none=None, scale=1, named=None):
        x, (y, z) = pair
        total = (x + y + z + extra["a"]) * scale
        return total if named is None else total + named


def program(poptorch):
    one = torch.tensor([1.0, 2.0])
    pair = (one, [2 * one, 3 * one])
    options = poptorch.Options().deviceIterations(2)
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = poptorch.inferenceModel(Net(), options)
        found.append(plain(pair, {"a": 4 * one}))
        plain(pair, {"a": 4 * one})
        named = poptorch.inferenceModel(Net(), options)
        found.append(named(pair, {"a": 4 * one}, None, scale=1, named=torch.full((2,), 3.0)))
    return found
