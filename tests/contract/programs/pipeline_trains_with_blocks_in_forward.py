"""Pipelined and unpipelined training agree, with blocks, replicas, accumulation and a shared input."""

import torch

RETURNS = [True, True, True]
SIMULATOR_ONLY = "needs hardware with four IPUs"


class Net(torch.nn.Module):
    def __init__(self, poptorch, ipus):
        super().__init__()
        self.poptorch = poptorch
        self.ipus = ipus
        self.first = torch.nn.Linear(3, 4)
        self.second = torch.nn.Linear(4, 3)

    def forward(self, x):
        with self.poptorch.Block("a", ipu_id=0):
            y = torch.relu(self.first(x))
        with self.poptorch.Block("b", ipu_id=self.ipus - 1):
            return torch.nn.functional.mse_loss(self.second(y), x)


def train(poptorch, ipus, strategy=None):
    torch.manual_seed(0)
    model = Net(poptorch, ipus)
    options = poptorch.Options().replicationFactor(2).deviceIterations(2)
    options.Training.gradientAccumulation(3)
    if strategy is not None:
        options.setExecutionStrategy(strategy)
    optimizer = poptorch.optim.Adam(model.parameters(), lr=0.1)
    training = poptorch.trainingModel(model, options, optimizer)
    for _ in range(2):
        training(torch.linspace(-1, 1, 72).reshape(24, 3))
    return [value.clone() for value in model.state_dict().values()]


def program(poptorch):
    plain = train(poptorch, 1)
    torch.manual_seed(0)
    start = list(Net(poptorch, 1).state_dict().values())
    others = [train(poptorch, 2), train(poptorch, 2, poptorch.ShardedExecution())]
    same = [all(torch.allclose(*pair, atol=1e-5) for pair in zip(plain, other)) for other in others]
    return [not torch.allclose(start[0], plain[0]), *same]
