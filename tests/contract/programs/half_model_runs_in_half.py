"""model.half() with half inputs computes in half, and keeps half weights."""

import torch

RETURNS = ["torch.float16", "torch.float16", True]


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(4, 2)

    def forward(self, x):
        y = self.fc(x)
        return y, torch.nn.functional.mse_loss(y.float(), torch.zeros_like(y).float())


def program(poptorch):
    torch.manual_seed(0)
    model = Net().half()
    before = model.fc.weight.detach().clone()
    optimizer = poptorch.optim.SGD(model.parameters(), lr=0.1, loss_scaling=128.0)
    training = poptorch.trainingModel(model, None, optimizer)
    y, _ = training(torch.ones(2, 4).half())
    after = model.fc.weight.detach()
    return [str(y.dtype), str(after.dtype), not torch.equal(before, after)]
