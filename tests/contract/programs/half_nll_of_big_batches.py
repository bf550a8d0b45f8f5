"""Losses of half logits are exact when the logits are cast first, whatever the size of their sum."""

import torch
from torch.nn import functional

RETURNS = [True, "float32", "float16"]


class Net(torch.nn.Module):
    def forward(self, logits, labels):
        exact = functional.cross_entropy(logits.float(), labels, reduction="sum")
        return exact, functional.cross_entropy(logits, labels, reduction="sum")


def program(poptorch):
    torch.manual_seed(0)
    logits, labels = torch.randn(64, 5).half() * 10, torch.randint(0, 5, (64,))
    exact, low = poptorch.inferenceModel(Net())(logits, labels)
    expected = functional.cross_entropy(logits.float(), labels, reduction="sum")
    near = bool(torch.isclose(exact, expected)) and not bool(torch.equal(exact, low.float()))
    return [near, str(exact.dtype)[6:], str(low.dtype)[6:]]
