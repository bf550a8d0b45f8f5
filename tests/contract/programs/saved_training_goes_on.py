"""save() keeps model, optimizer and state in missing folders too; load() goes on where training was."""

import os
import sys
import tempfile
import types

import torch

RETURNS = [True, ["Adam", 0.5, 2.0], True, "AssertionError"]


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(3, 2)

    def forward(self, x, y):
        return torch.nn.functional.cross_entropy(self.fc(x), y)


def program(poptorch):
    sys.modules.setdefault(__name__, types.SimpleNamespace(Net=Net))  # pickle looks classes up there
    torch.manual_seed(0)
    batch = torch.randn(4, 3), torch.tensor([0, 1, 1, 0])
    model = Net()
    optimizer = poptorch.optim.Adam(model.parameters(), lr=0.5, loss_scaling=2.0)
    training = poptorch.trainingModel(model, None, optimizer)
    for _ in range(2):
        training(*batch)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "new", "net.poptorch")
        training.save(path)
        again = poptorch.load(path)
        training.save(folder, export_model=False)
        try:
            poptorch.load(os.path.join(folder, "model.poptorch"))
        except AssertionError as error:
            refused = type(error).__name__
    training(*batch)
    again(*batch)
    loaded = again._optimizer
    return [
        bool((loaded.param_groups[0]["params"][0] == again.model.fc.weight).all()),
        [type(loaded).__name__, loaded.param_groups[0]["lr"], loaded.loss_scaling],
        torch.equal(model.fc.weight, again.model.fc.weight),
        refused,
    ]
