"""Dictionaries, their order and classes come back as the model made them."""

import collections

import torch

RETURNS = ["OrderedDict", ["b", "a"], "Results", "text"]


class Results(dict):
    """A class of the user's."""


class Net(torch.nn.Module):
    def forward(self, items):
        swapped = collections.OrderedDict((key, items[key] + 1) for key in reversed(list(items)))
        return swapped, Results(sum=items["a"] + items["b"], note="text")


def program(poptorch):
    x = torch.ones(2)
    swapped, results = poptorch.inferenceModel(Net())(collections.OrderedDict(a=x, b=x))
    assert results["sum"].tolist() == [2.0, 2.0]
    return [type(swapped).__name__, list(swapped), type(results).__name__, results["note"]]
