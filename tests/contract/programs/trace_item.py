"""Values of tensors are not known while tracing."""

import torch

RAISES = ("NotImplementedError", "aten::item")


class Net(torch.nn.Module):
    def forward(self, x):
        return x * x.mean().item()


def program(poptorch):
    return poptorch.inferenceModel(Net())(torch.ones(2))
