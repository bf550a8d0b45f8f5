"""A norm whose scale comes from a grid of quantiles kept as a buffer: gradients pass through the proxy."""

import torch
from torch import nn
from torch.nn import functional

RETURNS = [True, True]


class ProxyNorm(nn.Module):
    def __init__(self, channels):
        super().__init__()
        grid = torch.distributions.Normal(0.0, 1.0).icdf((torch.arange(16) + 0.5) / 16)
        self.register_buffer("grid", grid.view(-1, 1), persistent=False)
        self.beta = nn.Parameter(torch.zeros(channels))
        self.gamma = nn.Parameter(torch.ones(channels))

    def forward(self, y):
        beta, gamma = self.beta.float(), self.gamma.float()
        proxy = functional.silu(self.grid * gamma + beta)
        mean = proxy.mean(0)
        scale = ((proxy - mean).square().mean(0) + 1e-3).rsqrt()
        shape = (1, -1, 1, 1)
        act = functional.silu(y * gamma.view(shape) + beta.view(shape))
        return (act - mean.view(shape)) * scale.view(shape)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 1)
        self.norm = nn.GroupNorm(1, 4, affine=False)
        self.proxy = ProxyNorm(4)

    def forward(self, x, target):
        return functional.mse_loss(self.proxy(self.norm(self.conv(x))).mean((2, 3)), target)


def program(poptorch):
    torch.manual_seed(0)
    x, target = torch.randn(4, 2, 3, 3), torch.randn(4, 4)
    model, reference = Net(), Net()
    reference.load_state_dict(model.state_dict())
    options = poptorch.Options().outputMode(poptorch.OutputMode.All)
    options.Training.gradientAccumulation(2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    losses = poptorch.trainingModel(model, options, optimizer)(x, target)
    loss = reference(x, target)
    loss.backward()
    steps = [p.detach() - 0.5 * p.grad for p in reference.parameters()]
    same = all(torch.allclose(a.detach(), b, atol=1e-5) for a, b in zip(model.parameters(), steps))
    return [torch.allclose(losses.mean(), loss.detach(), atol=1e-5), same]
