"""randomSeed seeds the host too; forward neither uses nor moves the host's generator."""

import torch

RETURNS = [True, True]


class Noise(torch.nn.Module):
    def forward(self, x):
        torch.manual_seed(1)
        return x + torch.randn(3) + torch.nn.functional.dropout(x, 0.5, True)


def program(poptorch):
    torch.manual_seed(11)
    expected = torch.rand(2)
    poptorch.Options().randomSeed(11)
    same = torch.equal(expected, torch.rand(2))
    model = poptorch.inferenceModel(Noise())
    first, second = model(torch.zeros(3)), model(torch.zeros(3))
    return [same, not torch.equal(first, second)]
