"""Tensors without elements are not supported."""

import torch

RAISES = ("poptorch.Error", "Zero-sized tensors are unsupported")


class Empty(torch.nn.Module):
    def forward(self, x):
        return torch.cat([x, x[:0]])


def program(poptorch):
    return poptorch.inferenceModel(Empty())(torch.ones(2))
