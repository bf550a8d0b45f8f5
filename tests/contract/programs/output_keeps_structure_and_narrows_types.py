"""Nested outputs keep their structure; int64 comes back as int32."""

import torch

RETURNS = ["dict", "tuple", "list", "torch.int32", "torch.float32"]


class Nested(torch.nn.Module):
    def forward(self, x):
        return {"a": (x, [x + 1.0]), "b": x.argmax(1)}


def program(poptorch):
    out = poptorch.inferenceModel(Nested())(torch.ones(2, 3))
    types = [type(out), type(out["a"]), type(out["a"][1])]
    return [t.__name__ for t in types] + [str(out["b"].dtype), str(out["a"][0].dtype)]
