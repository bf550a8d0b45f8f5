"""Smoothing of cross_entropy is an implicit loss with arithmetic after it: a mark makes the whole a loss."""

import torch

RETURNS = True


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.poptorch = poptorch
        self.weight = torch.nn.Parameter(torch.tensor([0.5, -0.5, 0.25]))

    def forward(self, x, labels):
        loss = torch.nn.functional.cross_entropy(x * self.weight, labels, label_smoothing=0.1)
        return self.poptorch.identity_loss(loss, "none")


def program(poptorch):
    x, labels = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([1])
    model, reference = Net(poptorch), Net(poptorch)
    poptorch.trainingModel(model, None, torch.optim.SGD(model.parameters(), lr=1.0))(x, labels)
    reference(x, labels).backward()
    expected = reference.weight.detach() - reference.weight.grad
    return torch.allclose(model.weight.detach(), expected, atol=1e-5)
