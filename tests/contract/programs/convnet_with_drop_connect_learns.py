"""Drop-connect, dropout, batch norm, RMSprop and two stages: the network learns two images apart."""

import torch
from torch import nn
from torch.nn import functional

RETURNS = [True, True, True]
SIMULATOR_ONLY = "needs hardware with two IPUs"


def drop_connect(x, rate, training):
    if not training:
        return x
    keep = 1 - rate
    noise = torch.rand(x.shape[0], 1, 1, 1, dtype=x.dtype, device=x.device)
    return x.div(keep) * (keep + noise).floor()


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, groups=2, bias=False)
        self.norm = nn.BatchNorm2d(channels, momentum=0.1)

    def forward(self, x):
        mask = x.new_empty(x.shape[0], 1, 1, 1).bernoulli_(0.9)
        y = functional.hardswish(self.norm(self.conv(x)))
        return x + drop_connect(y, 0.2, self.training) * (mask if self.training else 1)


class Net(nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.mark = poptorch.identity_loss
        self.stem = nn.Conv2d(1, 4, 3, 2, 1)
        self.blocks = nn.Sequential(Block(4), Block(4))
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(0.1), nn.Linear(16, 2))
        poptorch.BeginBlock(self.blocks[1], "second", ipu_id=1)

    def forward(self, x, labels=None):
        logits = self.head(self.blocks(self.stem(x)))
        if labels is None:
            return logits
        smooth = functional.one_hot(labels.long(), 2) * 0.9 + 0.05
        loss = -(functional.log_softmax(logits, 1) * smooth).sum(1).mean()
        return self.mark(loss, "none")


def program(poptorch):
    torch.manual_seed(0)
    images = torch.stack([torch.ones(1, 4, 4), -torch.ones(1, 4, 4)] * 6)
    labels = torch.tensor([0, 1] * 6)
    model = Net(poptorch).train()
    options = poptorch.Options().randomSeed(1).outputMode(poptorch.OutputMode.Sum)
    options.Training.gradientAccumulation(3)
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": 1e-5},
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = poptorch.optim.RMSprop(
        groups, lr=0.005, alpha=0.9, eps=1e-3, momentum=0.9, loss_scaling=128.0, use_tf_variant=True
    )
    training = poptorch.trainingModel(model, options, optimizer)
    losses = [float(training(images, labels)) / 3 for _ in range(20)]
    training.destroy()
    model.eval()
    inference = poptorch.inferenceModel(model, poptorch.Options().deviceIterations(2))
    logits = inference(images)
    return [
        min(losses[-5:]) < 0.7 * losses[0],
        bool((logits.argmax(1) == labels).all()),
        torch.allclose(logits, model(images), atol=1e-4),
    ]
