"""What forward raises passes through unchanged, and the model is usable and wrappable afterwards."""

import torch

RETURNS = ["KeyError", True, [[2.0]], 2.0]


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.constant_(self.fc.weight, 2.0)
        self.broken = True

    def forward(self, x):
        y = self.fc(x)
        if self.broken:
            raise KeyError("mine")
        return y


def program(poptorch):
    net = Net()
    try:
        poptorch.inferenceModel(net)(torch.ones(1, 1))
    except Exception as error:
        name = type(error).__name__
    net.broken = False
    plain = not poptorch.isRunningOnIpu() and torch.zeros(1).device.type == "cpu"
    found = poptorch.inferenceModel(net)(torch.ones(1, 1))
    return [name, plain, found, float(net(torch.ones(1, 1)).detach())]
