"""A float32 network is halved with its inputs; logits cast to float keep their sums."""

import torch

RETURNS = ["float16", "float32", [70000.0], "float16", True]


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(2, 1)
        torch.nn.init.constant_(self.fc.weight, 1.0)
        torch.nn.init.zeros_(self.fc.bias)

    def forward(self, image):
        y = self.fc(image.to(self.fc.weight.dtype))
        return y, y.float().sum().reshape(1), y.new_zeros(1)


def program(poptorch):
    options = poptorch.Options().deviceIterations(2).outputMode(poptorch.OutputMode.Sum)
    model = Net().half()
    image = torch.tensor([[200, 150]] * 200, dtype=torch.uint8)
    y, total, zero = poptorch.inferenceModel(model, options)(image)
    inf = bool(torch.isfinite(y).all())
    return [str(y.dtype)[6:], str(total.dtype)[6:], total, str(zero.dtype)[6:], inf]
