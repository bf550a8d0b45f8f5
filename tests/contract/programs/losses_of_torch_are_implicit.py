"""Every loss function of torch marks the loss by itself."""

import torch

RETURNS = ["mse", "l1", "smooth_l1", "bce", "bce_logits", "kl", "nll", "cross_entropy"]


class Net(torch.nn.Module):
    def __init__(self, loss):
        super().__init__()
        self.loss = loss
        self.weight = torch.nn.Parameter(torch.full((2,), 0.5))

    def forward(self, x, labels):
        return self.loss(self.weight * x, x, labels)


def program(poptorch):
    f = torch.nn.functional
    losses = {
        "mse": lambda y, x, labels: f.mse_loss(y, x),
        "l1": lambda y, x, labels: f.l1_loss(y, x),
        "smooth_l1": lambda y, x, labels: torch.nn.SmoothL1Loss()(y, x),
        "bce": lambda y, x, labels: f.binary_cross_entropy(torch.sigmoid(y), x),
        "bce_logits": lambda y, x, labels: f.binary_cross_entropy_with_logits(y, x),
        "kl": lambda y, x, labels: f.kl_div(f.log_softmax(y, 1), x, reduction="batchmean"),
        "nll": lambda y, x, labels: f.nll_loss(f.log_softmax(y, 1), labels),
        "cross_entropy": lambda y, x, labels: torch.nn.CrossEntropyLoss()(y, labels),
    }
    x = torch.tensor([[0.25, 0.75]])
    found = []
    for name, loss in losses.items():
        model, reference = Net(loss), Net(loss)
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        poptorch.trainingModel(model, None, optimizer)(x, torch.tensor([0]))
        reference.loss(reference.weight * x, x, torch.tensor([0])).backward()
        expected = reference.weight.detach() - reference.weight.grad
        if torch.allclose(model.weight.detach(), expected, atol=1e-5):
            found.append(name)
    return found
