"""Inference returns every row, replicas interleaved as they were fed, through two layers and a softmax."""

import torch

RETURNS = True


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.SiLU(), torch.nn.Linear(5, 4))

    def forward(self, x):
        return torch.softmax(self.layers(x), dim=-1)


def program(poptorch):
    torch.manual_seed(1)
    model = Net().eval()
    x = torch.randn(12, 3)
    options = poptorch.Options().deviceIterations(3).replicationFactor(2)
    return torch.allclose(poptorch.inferenceModel(model, options)(x), model(x), atol=1e-5)
