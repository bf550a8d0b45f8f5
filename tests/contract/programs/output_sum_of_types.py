"""Sum in the output's own type: int32 counts, float16 rounds, float32 does not."""

import torch

RETURNS = [[4], 2048.0, [2049.0]]


class Net(torch.nn.Module):
    def forward(self, x):
        return torch.ones(1, dtype=torch.int32), x.half().reshape(1), x.reshape(1)


def program(poptorch):
    options = poptorch.Options().deviceIterations(4).outputMode(poptorch.OutputMode.Sum)
    count, low, high = poptorch.inferenceModel(Net(), options)(torch.tensor([2048.0, 0.5, 0.25, 0.25]))
    return [count, float(low), high]
