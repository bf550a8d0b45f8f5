"""Transposed convolutions can not be dilated."""

import torch

RAISES = ("poptorch.Error", "")


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.ConvTranspose2d(1, 1, 3, dilation=2)

    def forward(self, x):
        return self.conv(x)


def program(poptorch):
    assert poptorch.inferenceModel(torch.nn.ConvTranspose2d(1, 1, 3))(torch.ones(1, 1, 4, 4)).ndim == 4
    return poptorch.inferenceModel(Net())(torch.ones(1, 1, 4, 4))
