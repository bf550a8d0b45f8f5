"""int64 and float64 come back as int32 and float32; the other types stay."""

import torch

RETURNS = ["int32", "int32", "float32", "bool", "uint8", "float16", "int32", "float32"]


class Net(torch.nn.Module):
    def forward(self, x, labels, image, wide):
        return [
            labels + 1,
            x.argmax(1),
            x.double(),
            x > 0,
            image,
            x.half(),
            x.argmax(1).eq(labels).long().sum(),
            wide * 2,
        ]


def program(poptorch):
    labels = torch.tensor([0, 2])
    image = torch.tensor([3, 4], dtype=torch.uint8)
    wide = torch.ones(2, dtype=torch.float64)
    out = poptorch.inferenceModel(Net())(torch.eye(2, 3), labels, image, wide)
    return [str(tensor.dtype).replace("torch.", "") for tensor in out]
