"""Each input is divided by its own rows: equal micro-batch numbers (d, a, r) meet."""

import torch

RETURNS = [104.0 * k + 1.0 for k in range(8)]


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, pairs, singles):
        loss = (self.weight * pairs).sum()
        return pairs.sum(0, keepdim=True) + singles, loss


class WithLoss(Net):
    def __init__(self, poptorch):
        super().__init__()
        self.mark = poptorch.identity_loss

    def forward(self, pairs, singles):
        out, loss = super().forward(pairs, singles)
        return out, self.mark(loss, "none")


def program(poptorch):
    options = poptorch.Options().deviceIterations(2).replicationFactor(2)
    options.outputMode(poptorch.OutputMode.All)
    options.Training.gradientAccumulation(2)
    training = poptorch.trainingModel(WithLoss(poptorch), options)
    out, _ = training(torch.arange(16.0), 100 * torch.arange(8.0))
    return out
