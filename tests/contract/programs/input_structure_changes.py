"""A later call must have the same structure: each change has its name."""

import warnings

import torch

RETURNS = ["Length", "Type", "Keys", "Value", "Type", "Data type", "Shape"]


class Net(torch.nn.Module):
    def forward(self, x, items=None, scale=1):
        values = items.values() if isinstance(items, dict) else items or ()
        for item in values:
            x = x + item * scale
        return x


def program(poptorch):
    x = torch.ones(2)
    calls = [
        ((x, (x, x)), (x, (x, x, x))),
        ((x, (x, x)), (x, [x, x])),
        ((x, {"a": x}), (x, {"b": x})),
        ((x, (x,), 2), (x, (x,), 3)),
        ((x, (x,), 2), (x, (x,), 2.0)),
        ((x,), (x.int(),)),
        ((x,), (torch.ones(3),)),
    ]
    found = []
    for first, second in calls:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = poptorch.inferenceModel(Net())
            model(*first)
            try:
                model(*second)
            except poptorch.Error as error:
                text = str(error)
                assert " mismatch for " in text and "expected" in text, text
                found.append(text.split(" mismatch")[0].split(": ")[-1].split("'")[-1].strip())
    return found
