"""SameAsIpu: a stage is an IPU, so an IPU can not be visited twice."""

import torch

RAISES = ("Exception", "")
SIMULATOR_ONLY = "needs hardware with two IPUs"


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        layers = [torch.nn.Linear(2, 2) for _ in range(3)]
        for name, ipu, layer in zip("abc", (0, 1, 0), layers):
            poptorch.BeginBlock(layer, name, ipu_id=ipu)
        self.layers = torch.nn.Sequential(*layers)

    def forward(self, x):
        return self.layers(x)


def program(poptorch):
    options = poptorch.Options().deviceIterations(4)
    poptorch.inferenceModel(Net(poptorch), options)(torch.ones(4, 2))
