"""Small integers and booleans are sent as they are; bfloat16 and complex numbers are refused."""

import torch

RETURNS = ["int8", "int16", "bool", "uint8", "bfloat16 refused", "complex64 refused"]


class Same(torch.nn.Module):
    def forward(self, x):
        return x


def program(poptorch):
    kinds = (torch.int8, torch.int16, torch.bool, torch.uint8)
    found = []
    for kind in kinds:
        out = poptorch.inferenceModel(Same())(torch.ones(2).to(kind))
        found.append(str(out.dtype)[6:])
    for kind in (torch.bfloat16, torch.complex64):
        try:
            poptorch.inferenceModel(Same())(torch.ones(2, dtype=kind))
        except poptorch.Error as error:
            assert "Unsupported" in str(error), str(error)
            found.append(f"{str(kind)[6:]} refused")
    return found
