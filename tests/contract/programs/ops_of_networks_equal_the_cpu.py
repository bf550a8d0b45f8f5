"""Common operations of networks give what the CPU gives."""

import torch
from torch.nn import functional

RETURNS = []


def operations():
    f = functional
    return {
        "einsum": lambda x: torch.einsum("nchw,ndhw->ncd", x, x),
        "pad": lambda x: f.pad(x, (1, 2, 0, 1)),
        "reflect": lambda x: f.pad(x, (1, 1, 1, 1), mode="reflect"),
        "nearest": lambda x: f.interpolate(x, scale_factor=2, mode="nearest"),
        "shuffle": lambda x: x.view(len(x), 2, 2, 4, 4).transpose(1, 2).reshape(len(x), 4, 4, 4),
        "hardswish": lambda x: f.hardswish(x) + f.relu6(x) + f.mish(x) + f.softplus(x),
        "pool": lambda x: f.avg_pool2d(x, 3, 2, 1) + f.max_pool2d(x, 2),
        "adaptive": lambda x: f.adaptive_avg_pool2d(x, 1).flatten(1),
        "std": lambda x: x.std((2, 3)) + x.var((2, 3), unbiased=False, keepdim=True).flatten(1),
        "gather": lambda x: x.gather(1, x.argmax(1, keepdim=True)),
        "one_hot": lambda x: f.one_hot(x.mean((2, 3)).argmax(1), 4).float(),
        "norms": lambda x: f.layer_norm(x, (4, 4)) + f.group_norm(x, 2),
        "where": lambda x: torch.where(x > 0, x, x.exp()).clamp(-1, 1),
        "topk": lambda x: x.flatten(1).topk(3)[0],
        "dynamic": lambda x: x[:, 1:3, ::2].flip(1),
        "inplace": lambda x: x.mul(2).add_(1).relu_(),
        "cat": lambda x: torch.cat(x.split(2, 1)[::-1], 1) + torch.stack(x.unbind(1), 1),
        "logs": lambda x: f.log_softmax(x, 1) + x.logsumexp(1, keepdim=True) + torch.erf(x),
    }


class Net(torch.nn.Module):
    def __init__(self, operation):
        super().__init__()
        self.operation = operation

    def forward(self, x):
        return self.operation(x)


def program(poptorch):
    torch.manual_seed(0)
    x = torch.randn(4, 4, 4, 4)
    options = poptorch.Options().deviceIterations(2)
    wrong = []
    for name, operation in operations().items():
        found = poptorch.inferenceModel(Net(operation), options)(x)
        if not torch.allclose(found, operation(x), atol=1e-5):
            wrong.append(name)
    return wrong
