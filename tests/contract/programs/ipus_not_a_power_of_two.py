"""Three IPUs can not be had; rounding up must be asked for."""

import torch

SIMULATOR_ONLY = "needs hardware with three IPUs"
RAISES = ("poptorch.Error", "")


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        layers = [torch.nn.Linear(2, 2) for _ in range(3)]
        self.layers = torch.nn.Sequential(
            *[poptorch.BeginBlock(layer, str(i), ipu_id=i) for i, layer in enumerate(layers)]
        )

    def forward(self, x):
        return self.layers(x)


def program(poptorch):
    rounded = poptorch.Options().deviceIterations(3).autoRoundNumIPUs(True)
    assert poptorch.inferenceModel(Net(poptorch), rounded)(torch.ones(3, 2)).shape == (3, 2)
    exact = poptorch.Options().deviceIterations(3)
    return poptorch.inferenceModel(Net(poptorch), exact)(torch.ones(3, 2))
