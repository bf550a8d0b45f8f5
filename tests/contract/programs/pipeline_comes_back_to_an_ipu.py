"""AutoIncrement lets a later stage use an earlier IPU: three stages on two IPUs."""

import torch

RAISES = ("poptorch.Error", "number of pipeline stages (3)")
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
    options = poptorch.Options()
    options.setExecutionStrategy(poptorch.PipelinedExecution(poptorch.AutoStage.AutoIncrement))
    model = Net(poptorch)
    enough = options.clone().deviceIterations(3)
    assert poptorch.inferenceModel(model, enough)(torch.ones(3, 2)).shape == (3, 2)
    poptorch.inferenceModel(model, options.clone().deviceIterations(2))(torch.ones(2, 2))
