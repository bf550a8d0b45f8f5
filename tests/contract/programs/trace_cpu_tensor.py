"""A tensor that is neither parameter nor buffer stays on the CPU."""

import torch

RAISES = ("RuntimeError", "Expected all tensors to be on the same device")


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.offset = torch.ones(2)

    def forward(self, x):
        return x + self.offset


def program(poptorch):
    return poptorch.inferenceModel(Net())(torch.ones(2))
