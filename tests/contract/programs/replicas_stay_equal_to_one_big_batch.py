"""Replicas, accumulation and iterations: four ways to cut sixteen rows into two updates agree."""

import torch

RETURNS = [True, True, True]


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))

    def forward(self, x, labels):
        return torch.nn.functional.cross_entropy(self.body(x), labels)


def train(poptorch, iterations, accumulation, replicas):
    torch.manual_seed(0)
    model = Net()
    x, labels = torch.randn(16, 3), torch.randint(0, 2, (16,))
    options = poptorch.Options().deviceIterations(iterations).replicationFactor(replicas)
    options.Training.gradientAccumulation(accumulation)
    optimizer = poptorch.optim.AdamW(model.parameters(), lr=0.05, weight_decay=0.1)
    training = poptorch.trainingModel(model, options, optimizer)
    for part in range(2 // iterations):
        rows = slice(8 * iterations * part, 8 * iterations * (part + 1))
        training(x[rows], labels[rows])
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def program(poptorch):
    expected = train(poptorch, 1, 1, 1)
    ways = ((2, 1, 1), (1, 4, 2), (2, 2, 4))
    return [torch.allclose(train(poptorch, *way), expected, atol=1e-5) for way in ways]
