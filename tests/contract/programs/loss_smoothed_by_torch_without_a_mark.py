"""cross_entropy with label_smoothing and no mark would be differentiated in part: refused here."""

import torch

RAISES = ("poptorch.Error", "identity_loss")
SIMULATOR_ONLY = "PopTorch accepts it and differentiates the nll part alone"


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(2, 2)

    def forward(self, x, labels):
        return torch.nn.functional.cross_entropy(self.fc(x), labels, label_smoothing=0.1, reduction="sum")


def program(poptorch):
    return poptorch.trainingModel(Net())(torch.ones(1, 2), torch.tensor([1]))
