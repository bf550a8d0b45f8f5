"""float64 inputs are used as float32, int64 as int32."""

import torch

RETURNS = ["torch.float32", "torch.int32"]


class Same(torch.nn.Module):
    def forward(self, x, y):
        return x + 1, y + 1


def program(poptorch):
    x, y = poptorch.inferenceModel(Same())(
        torch.ones(2, dtype=torch.float64), torch.ones(2, dtype=torch.int64)
    )
    return [str(x.dtype), str(y.dtype)]
