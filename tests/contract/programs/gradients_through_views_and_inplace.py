"""Gradients flow through views, in-place arithmetic, expansion and detached parts as on the CPU."""

import torch

RETURNS = True


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.a = torch.nn.Parameter(torch.tensor([0.5, -0.25]))
        self.b = torch.nn.Parameter(torch.tensor([[0.5], [1.5]]))

    def forward(self, x):
        y = (x * self.a).view(-1, 1, 2).expand(-1, 2, 2)
        y = y * self.b + self.a.detach() * y.mean((1, 2), keepdim=True)
        y = y.transpose(1, 2).reshape(len(x), 4)
        y += x.repeat(1, 2)
        y.mul_(2).clamp_(-5, 5)
        with torch.no_grad():
            scale = y.abs().amax()
        return torch.nn.functional.smooth_l1_loss(y / scale, x.repeat(1, 2))


def program(poptorch):
    x = torch.tensor([[1.0, 2.0], [-1.0, 0.5]])
    model, reference = Net(), Net()
    poptorch.trainingModel(model, None, torch.optim.SGD(model.parameters(), lr=1.0))(x)
    reference(x).backward()
    expected = [p.detach() - p.grad for p in reference.parameters()]
    pairs = zip(model.parameters(), expected)
    return all(torch.allclose(mine.detach(), theirs, atol=1e-6) for mine, theirs in pairs)
