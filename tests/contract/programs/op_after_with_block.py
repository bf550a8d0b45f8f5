"""After leaving a `with Block` no block is active."""

import torch

RAISES = ("poptorch.Error", "No active Block")


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.block = poptorch.Block
        self.fc = torch.nn.Linear(2, 2)

    def forward(self, x):
        with self.block("one", ipu_id=0):
            x = self.fc(x)
        return x + 1.0


def program(poptorch):
    return poptorch.inferenceModel(Net(poptorch))(torch.ones(1, 2))
