"""var_mean without keepdim and two means with it are right."""

import torch

RETURNS = [True, True, True]


class Net(torch.nn.Module):
    def forward(self, x):
        var, mean = torch.var_mean(x, dim=(2, 3), unbiased=False)
        centre = x.mean((2, 3), keepdim=True)
        return var, mean, (x - centre).square().mean((2, 3), keepdim=True)


def program(poptorch):
    x = torch.arange(24.0).reshape(2, 3, 2, 2).sin()
    found = poptorch.inferenceModel(Net())(x)
    return [torch.allclose(*pair, atol=1e-6) for pair in zip(found, Net()(x))]
