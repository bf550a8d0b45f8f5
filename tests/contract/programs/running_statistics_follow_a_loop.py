"""Running statistics equal those of a loop over the micro-batches, and come home."""

import torch

RETURNS = [True, True]


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(3)

    def forward(self, x):
        return torch.nn.functional.mse_loss(self.norm(x), x)


def program(poptorch):
    torch.manual_seed(0)
    x = torch.randn(16, 3) + 2
    reference = Net()
    for part in x.split(4):
        reference(part)
    options = poptorch.Options().deviceIterations(2)
    options.Training.gradientAccumulation(2)
    model = Net()
    poptorch.trainingModel(model, options, torch.optim.SGD(model.parameters(), lr=0.0))(x)
    state = model.state_dict()
    return [
        torch.allclose(state["norm.running_mean"], reference.norm.running_mean, atol=1e-5),
        torch.allclose(state["norm.running_var"], reference.norm.running_var, atol=1e-5),
    ]
