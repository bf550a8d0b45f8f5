"""Non-contiguous inputs are copied and inputs with gradients detached."""

import torch

RETURNS = [[[2.0, 6.0], [4.0, 8.0]], False, True]


class Double(torch.nn.Module):
    def forward(self, x):
        return x * 2


def program(poptorch):
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    out = poptorch.inferenceModel(Double())(x.t())
    leaf = torch.ones(1, requires_grad=True)
    gone = poptorch.inferenceModel(Double())(leaf)
    return [out, gone.requires_grad, leaf.requires_grad]
