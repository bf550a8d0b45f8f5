"""Group convolutions, SE, group norm and label smoothing train as one big batch on the CPU."""

import torch
from torch import nn
from torch.nn import functional

RETURNS = [True, True, True, [4]]


class SqueezeExcite(nn.Module):
    def __init__(self, channels, reduced):
        super().__init__()
        self.reduce = nn.Conv2d(channels, reduced, 1)
        self.expand = nn.Conv2d(reduced, channels, 1)

    def forward(self, x):
        gate = x.mean((2, 3), keepdim=True)
        gate = self.expand(functional.silu(self.reduce(gate)))
        return x * gate.sigmoid()


class Block(nn.Module):
    def __init__(self, channels, expansion, group):
        super().__init__()
        wide = channels * expansion
        self.expand = nn.Conv2d(channels, wide, 1, bias=False)
        self.norm1 = nn.GroupNorm(4, wide)
        self.conv = nn.Conv2d(wide, wide, 3, padding=1, groups=wide // group, bias=False)
        self.norm2 = nn.GroupNorm(4, wide)
        self.se = SqueezeExcite(wide, 2)
        self.project = nn.Conv2d(wide, channels, 1, bias=False)
        self.norm3 = nn.GroupNorm(4, channels)
        self.act = nn.SiLU(inplace=True)

    def forward(self, x):
        y = self.act(self.norm1(self.expand(x)))
        y = self.se(self.act(self.norm2(self.conv(y))))
        y = self.norm3(self.project(y))
        y += x
        return y


class Net(nn.Module):
    def __init__(self, mark):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.GroupNorm(4, 8), nn.SiLU())
        self.blocks = nn.ModuleList([Block(8, 2, 4), Block(8, 2, 1)])
        self.head = nn.Linear(8, 5)
        self.register_buffer("mean", torch.tensor([120.0, 115.0, 100.0]).view(1, 3, 1, 1))
        self.mark = mark

    def forward(self, images, labels=None):
        x = (images.float() - self.mean) / 60
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        logits = self.head(functional.adaptive_avg_pool2d(x, 1).view(x.size(0), -1))
        if labels is None:
            return logits
        logp = logits.float().log_softmax(-1)
        nll = -logp.gather(1, labels.long().unsqueeze(1)).squeeze(1)
        loss = (0.9 * nll - 0.1 * logp.mean(-1)).mean()
        return self.mark(loss, "none"), (logits.argmax(1) == labels).sum()


def program(poptorch):
    torch.manual_seed(0)
    images = torch.randint(0, 256, (8, 3, 8, 8), dtype=torch.uint8)
    labels = torch.randint(0, 5, (8,))
    model = Net(poptorch.identity_loss)
    reference = Net(poptorch.identity_loss)
    reference.load_state_dict(model.state_dict())
    options = poptorch.Options().replicationFactor(2).outputMode(poptorch.OutputMode.All)
    options.Training.gradientAccumulation(2)
    settings = {"lr": 0.05, "momentum": 0.9, "weight_decay": 1e-4}
    optimizer = poptorch.optim.SGD(model.parameters(), loss_scaling=64.0, **settings)
    training = poptorch.trainingModel(model, options, optimizer)
    host = torch.optim.SGD(reference.parameters(), **settings)
    losses, expected = [], []
    for _ in range(3):
        loss, right = training(images, labels)
        losses.append(loss.mean())
        host.zero_grad()
        reference(images, labels)[0].backward()
        expected.append(reference(images, labels)[0].detach())
        host.step()
    same = all(
        torch.allclose(*pair, atol=1e-4)
        for pair in zip(model.state_dict().values(), reference.state_dict().values())
    )
    training.detachFromDevice()
    logits = poptorch.inferenceModel(model.eval(), poptorch.Options().deviceIterations(2))(images)
    return [
        torch.allclose(torch.stack(losses), torch.stack(expected), atol=1e-4),
        same,
        torch.allclose(logits, reference.eval()(images), atol=1e-3),
        list(right.shape),
    ]
