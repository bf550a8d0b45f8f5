"""A batch norm's running statistics may differ between replicas (the first one's come back), other buffers
not."""

import torch

RETURNS = [[1.0, 1.0], "PopTorch does not support broadcasting buffers"]


class Net(torch.nn.Module):
    def __init__(self, copies):
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(2, momentum=1.0)
        self.register_buffer("seen", torch.zeros(2))
        self.copies = copies

    def forward(self, x):
        if self.copies:
            self.seen.copy_(x.mean(0))
        return torch.nn.functional.mse_loss(self.norm(x), x)


def program(poptorch):
    rows = torch.tensor([[0.0], [2.0], [4.0], [6.0]]).repeat(1, 2)
    model = Net(False)
    poptorch.trainingModel(model, poptorch.Options().replicationFactor(2))(rows)
    found = [model.norm.running_mean.clone()]
    try:
        poptorch.trainingModel(Net(True), poptorch.Options().replicationFactor(2))(rows)
    except poptorch.Error as error:
        found.append(error.args[0].split("': ")[1].split(".")[0])
    return found
