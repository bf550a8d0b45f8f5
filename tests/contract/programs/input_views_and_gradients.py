"""Non-contiguous inputs are copied; one that asks for its gradient is refused."""

import torch

RETURNS = [[[2.0, 6.0], [4.0, 8.0]], "refused"]


class Double(torch.nn.Module):
    def forward(self, x):
        return x * 2


def program(poptorch):
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    out = poptorch.inferenceModel(Double())(x.t())
    try:
        poptorch.inferenceModel(Double())(torch.ones(1, requires_grad=True))
    except poptorch.Error as error:
        return [out, "refused" if "requires_grad" in str(error) else str(error)]
    return [out, "accepted"]
