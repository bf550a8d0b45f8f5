"""Replicas, iterations and calls draw different numbers; the same seed draws the same again."""

import torch

RETURNS = [8, True, False]


class Noise(torch.nn.Module):
    def forward(self, x):
        return x + torch.rand(1)


def draw(poptorch, seed):
    options = poptorch.Options().deviceIterations(2).replicationFactor(2).randomSeed(seed)
    model = poptorch.inferenceModel(Noise(), options)
    return torch.cat([model(torch.zeros(4)), model(torch.zeros(4))])


def program(poptorch):
    first, again, other = draw(poptorch, 5), draw(poptorch, 5), draw(poptorch, 6)
    return [len(set(first.tolist())), torch.equal(first, again), torch.equal(first, other)]
