"""Half activations and weights, scaled loss: the first losses are near those in float32 but not equal."""

import torch
from torch import nn
from torch.nn import functional

RETURNS = ["float16", "float32", True, True, "float16"]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 8, 3, padding=1, groups=2)
        self.norm = nn.GroupNorm(2, 8, eps=1e-3)
        self.head = nn.Linear(8, 3)

    def forward(self, x, labels):
        y = functional.silu(self.norm(self.conv(x)))
        logits = self.head(y.mean((2, 3)))
        return logits, functional.nll_loss(logits.float().log_softmax(1), labels)


def run(poptorch, half):
    torch.manual_seed(0)
    x, labels = torch.randn(4, 4, 4, 4), torch.tensor([0, 1, 2, 0])
    model = Net()
    if half:
        model, x = model.half(), x.half()
    optimizer = poptorch.optim.SGD(model.parameters(), lr=0.1, loss_scaling=128.0)
    training = poptorch.trainingModel(model, None, optimizer)
    losses = []
    for _ in range(3):
        logits, loss = training(x, labels)
        losses.append(loss)
    return logits, torch.stack(losses), model.state_dict()["conv.weight"].dtype


def program(poptorch):
    logits, losses, weight = run(poptorch, True)
    _, expected, _ = run(poptorch, False)
    names = [str(kind)[6:] for kind in (logits.dtype, losses.dtype)]
    near = torch.allclose(losses, expected, atol=1e-2)
    return [*names, near, not torch.equal(losses, expected), str(weight)[6:]]
