"""Uniform, Normal and Bernoulli of torch.distributions draw on the device; Beta and Gamma do not."""

import torch

RETURNS = [True, True, True, "Error", "Error"]


class Net(torch.nn.Module):
    def __init__(self, make):
        super().__init__()
        self.make = make

    def forward(self, x):
        return x + self.make(x).sample((64,)).view(64)


def program(poptorch):
    d = torch.distributions
    makers = (
        lambda x: d.Uniform(x.new_zeros(1), x.new_ones(1) * 2),
        lambda x: d.Normal(x.new_zeros(1) + 1, x.new_ones(1)),
        lambda x: d.Bernoulli(x.new_zeros(1) + 0.75),
        lambda x: d.Beta(x.new_ones(1), x.new_ones(1)),
        lambda x: d.Gamma(x.new_ones(1), x.new_ones(1)),
    )
    found = []
    for make in makers:
        try:
            drawn = poptorch.inferenceModel(Net(make), poptorch.Options().randomSeed(3))(torch.zeros(64))
            found.append(0.5 < float(drawn.mean()) < 1.5)
        except poptorch.Error as error:
            found.append(type(error).__name__)
    return found
