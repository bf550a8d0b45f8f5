"""Saved weights and optimizer state continue a run exactly."""

import copy

import torch

RETURNS = True


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(3, 3)

    def forward(self, x):
        return torch.nn.functional.mse_loss(self.fc(x), x)


def start(poptorch, weights=None, state=None):
    torch.manual_seed(0)
    model = Net()
    optimizer = poptorch.optim.AdamW(model.parameters(), lr=0.1)
    if weights is not None:
        model.load_state_dict(weights)
        optimizer.load_state_dict(state)
    return model, optimizer, poptorch.trainingModel(model, None, optimizer)


def program(poptorch):
    x = torch.arange(6.0).reshape(2, 3)
    model, _, whole = start(poptorch)
    for _ in range(4):
        whole(x)
    half, optimizer, training = start(poptorch)
    for _ in range(2):
        training(x)
    saved = copy.deepcopy(dict(half.state_dict())), copy.deepcopy(optimizer.state_dict())
    training.destroy()
    resumed, _, training = start(poptorch, *saved)
    for _ in range(2):
        training(x)
    return torch.allclose(model.fc.weight, resumed.fc.weight, atol=1e-6)
