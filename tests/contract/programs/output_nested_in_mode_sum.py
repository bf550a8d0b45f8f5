"""Sum: per replica, over D and A, for every tensor of a nested output; a scalar becomes a row per replica."""

import torch

RETURNS = ["dict", "tuple", "list", [8.0, 10.0, 12.0, 14.0], [9.0, 13.0], [[4, 4], [4, 4]]]


class Net(torch.nn.Module):
    def forward(self, x):
        counts = torch.full((1, 2), 2, dtype=torch.int32)
        return {"rows": x * 1, "rest": (x.mean(), [counts])}


def program(poptorch):
    options = poptorch.Options().deviceIterations(2).replicationFactor(2)
    options.outputMode(poptorch.OutputMode.Sum)
    out = poptorch.inferenceModel(Net(), options)(torch.arange(8.0) + 2)
    rest = out["rest"]
    kinds = [type(out).__name__, type(rest).__name__, type(rest[1]).__name__]
    return [*kinds, out["rows"], rest[0], rest[1][0]]
