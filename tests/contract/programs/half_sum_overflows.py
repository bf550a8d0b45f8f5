"""Sums of a float16 output are made in float16 and overflow; float32 ones do not."""

import torch

RETURNS = [True, 160000.0]


class Big(torch.nn.Module):
    def __init__(self, dtype):
        super().__init__()
        self.dtype = dtype

    def forward(self, x):
        return (x * 2.0).to(self.dtype)


def program(poptorch):
    def total(dtype):
        options = poptorch.Options().deviceIterations(4).outputMode(poptorch.OutputMode.Sum)
        return poptorch.inferenceModel(Big(dtype), options)(torch.full((4,), 20000.0))

    return [bool(torch.isinf(total(torch.float16)).all()), total(torch.float32).item()]
