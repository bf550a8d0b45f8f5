"""bfloat16 becomes float32; small integers and booleans are sent as they are; complex numbers are refused."""

import torch

RETURNS = ["float32", "int8", "int16", "bool", "uint8", "Error: Unsupported input type"]


class Same(torch.nn.Module):
    def forward(self, x):
        return x


def program(poptorch):
    kinds = (torch.bfloat16, torch.int8, torch.int16, torch.bool, torch.uint8)
    found = []
    for kind in kinds:
        out = poptorch.inferenceModel(Same())(torch.ones(2).to(kind))
        found.append(str(out.dtype)[6:])
    try:
        poptorch.inferenceModel(Same())(torch.ones(2, dtype=torch.complex64))
    except poptorch.Error as error:
        text = "Unsupported input type"
        found.append("Error: " + (text if text in str(error) else str(error)))
    return found
