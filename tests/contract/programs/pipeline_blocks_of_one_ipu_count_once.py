"""Two blocks in a row on one IPU are one stage: A = 3 is enough for IPUs 0, 0, 1."""

import torch

RETURNS = ["greater than or equal to the number of pipeline stages", True]
SIMULATOR_ONLY = "needs hardware with two IPUs"


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        layers = [torch.nn.Linear(2, 2) for _ in range(3)]
        for layer, ipu in zip(layers, (0, 0, 1)):
            poptorch.BeginBlock(layer, ipu_id=ipu)
        self.layers = torch.nn.Sequential(*layers)

    def forward(self, x):
        return torch.nn.functional.mse_loss(self.layers(x), x)


def program(poptorch):
    found = []
    for accumulation in (2, 3):
        options = poptorch.Options()
        options.Training.gradientAccumulation(accumulation)
        training = poptorch.trainingModel(Net(poptorch), options)
        try:
            found.append(bool(torch.isfinite(training(torch.ones(accumulation, 2)))))
        except poptorch.Error as error:
            text = "greater than or equal to the number of pipeline stages"
            assert "poptorch.Options().Training.gradientAccumulation" in str(error)
            found.append(text if text in str(error) else str(error))
    return found
