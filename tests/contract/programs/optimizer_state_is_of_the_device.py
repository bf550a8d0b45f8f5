"""state_dict of a device optimizer has its four parts; an empty one or one of the CPU is refused."""

import torch

RETURNS = [["ipu_param", "ipu_state", "param_groups", "state"], "KeyError", "RuntimeError", True]


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(2, 2)

    def forward(self, x):
        return torch.nn.functional.mse_loss(self.fc(x), x)


def program(poptorch):
    model = Net()
    optimizer = poptorch.optim.Adam(model.parameters(), lr=0.1)
    training = poptorch.trainingModel(model, None, optimizer)
    training(torch.ones(1, 2))
    state = optimizer.state_dict()
    found = [sorted(state)]
    for wrong in ({}, torch.optim.Adam(model.parameters(), lr=0.1).state_dict()):
        try:
            optimizer.load_state_dict(wrong)
        except Exception as error:
            found.append(type(error).__name__)
    return [*found, len(state["ipu_state"]) > 0]
