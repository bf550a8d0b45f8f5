"""Accumulators are float32 or float16."""

import torch

RAISES = ("AssertionError", "")


def program(poptorch):
    weight = torch.nn.Parameter(torch.ones(1))
    poptorch.optim.AdamW([weight], lr=0.1, accum_type=torch.float16)
    poptorch.optim.AdamW([weight], lr=0.1, accum_type=torch.float64)
