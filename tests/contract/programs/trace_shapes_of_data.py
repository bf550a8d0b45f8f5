"""Shapes that depend on data are refused: nonzero, unique, masked_select, where with one argument, masks."""

import torch

RETURNS = ["nonzero", "unique is dynamic", "masked_select is dynamic", "where", "mask is dynamic", "argwhere"]


class Net(torch.nn.Module):
    def __init__(self, select):
        super().__init__()
        self.select = select

    def forward(self, x):
        return self.select(x)


def program(poptorch):
    selects = {
        "nonzero": lambda x: x.nonzero(),
        "unique": lambda x: torch.unique(x),
        "masked_select": lambda x: x.masked_select(x > 0),
        "where": lambda x: torch.where(x > 0)[0],
        "mask": lambda x: x[x > 0].sum(),
        "argwhere": lambda x: torch.argwhere(x),
    }
    found = []
    for name, select in selects.items():
        try:
            poptorch.inferenceModel(Net(select))(torch.ones(2))
        except poptorch.Error as error:
            assert "unsupported" in str(error).lower(), str(error)
            found.append(name)
        except RuntimeError as error:
            assert "determined by the tensor values" in str(error)
            found.append(f"{name} is dynamic" if type(error).__name__.startswith("DynamicOutput") else name)
    return found
