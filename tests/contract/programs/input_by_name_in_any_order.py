"""Arguments by position, by name in another order, and defaults, tensors too, are one call."""

import torch

RETURNS = [[5.0], [5.0], [5.0], [3.0], [13.0]]
ONE = torch.ones(1)


class Net(torch.nn.Module):
    def forward(self, images, offset=ONE, scale=2):
        return images * scale + offset


class Named(torch.nn.Module):
    def forward(self, **named):
        return named["images"] * 10 + named["mask"]


def program(poptorch):
    x, offset = torch.ones(1), torch.full((1,), 3.0)
    net, default, named = (poptorch.inferenceModel(kind()) for kind in (Net, Net, Named))
    found = [net(x, offset), net(offset=offset, images=x), net(x, scale=2, offset=offset), default(x)]
    named(images=x, mask=offset)
    return [*found, named(mask=offset, images=x)]
