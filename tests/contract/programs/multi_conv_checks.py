"""A MultiConv block is not nested and not empty, and its settings have types."""

import torch

RETURNS = [True, "Nested poptorch.MultiConv", "Unexpected end_multi_conv", "ValueError", "AssertionError"]


class Net(torch.nn.Module):
    def __init__(self, poptorch, kind):
        super().__init__()
        self.poptorch, self.kind = poptorch, kind
        self.conv = torch.nn.Conv2d(1, 1, 1)

    def forward(self, x):
        with self.poptorch.MultiConv():
            if self.kind == "nested":
                with self.poptorch.MultiConv():
                    return self.conv(x)
            return x + 1 if self.kind == "empty" else self.conv(x)


def program(poptorch):
    x = torch.ones(1, 1, 2, 2)
    net = Net(poptorch, "one")
    found = [torch.allclose(poptorch.inferenceModel(net)(x), net.conv(x))]
    for kind, said in (("nested", RETURNS[1]), ("empty", RETURNS[2])):
        try:
            poptorch.inferenceModel(Net(poptorch, kind))(x)
        except poptorch.Error as error:
            found.append(said if said in str(error) else str(error))
    for call, value in (("partialsTypes", "half"), ("planType", "parallel")):
        try:
            getattr(poptorch.MultiConv(), call)(value)
        except (ValueError, AssertionError) as error:
            found.append(type(error).__name__)
    return found
