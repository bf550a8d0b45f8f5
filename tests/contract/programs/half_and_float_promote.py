"""Mixed operands promote to float32; convolutions and norms follow the input instead."""

import torch

RETURNS = ["float32", "float16", "float16", "float16", [0.0999755859375], [-1.0, 1.0]]


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 1, 1, bias=False)
        torch.nn.init.constant_(self.conv.weight, 0.1)
        self.norm = torch.nn.GroupNorm(1, 2)
        self.layer = torch.nn.LayerNorm(2)

    def forward(self, x, big):
        y = self.conv(x)
        return x * torch.ones(1), y, self.norm(big), self.layer(big.flatten(1))


def program(poptorch):
    x = torch.ones(1, 1, 1, 1).half()
    big = torch.tensor([-3e4, 3e4]).half().reshape(1, 2, 1, 1)
    out = poptorch.inferenceModel(Net())(x, big)
    names = [str(value.dtype)[6:] for value in out]
    return [*names, out[1].flatten(), out[3].flatten().float()]
