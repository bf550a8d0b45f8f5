"""Smoothing of cross_entropy: its sum is an implicit loss with arithmetic after it, which a mark makes whole;
its mean selects by a mask, which has no fixed shape.
"""

import torch

RETURNS = [True, "DynamicOutputShapeException"]


class Net(torch.nn.Module):
    def __init__(self, poptorch, reduction):
        super().__init__()
        self.poptorch, self.reduction = poptorch, reduction
        self.weight = torch.nn.Parameter(torch.tensor([0.5, -0.5, 0.25]))

    def forward(self, x, labels):
        loss = torch.nn.functional.cross_entropy(
            x * self.weight, labels, label_smoothing=0.1, reduction=self.reduction
        )
        return self.poptorch.identity_loss(loss, "none")


def program(poptorch):
    x, labels = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([1])
    model, reference = Net(poptorch, "sum"), Net(poptorch, "sum")
    poptorch.trainingModel(model, None, torch.optim.SGD(model.parameters(), lr=1.0))(x, labels)
    reference(x, labels).backward()
    expected = reference.weight.detach() - reference.weight.grad
    is_same = torch.allclose(model.weight.detach(), expected, atol=1e-5)
    try:
        poptorch.trainingModel(Net(poptorch, "mean"))(x, labels)
    except RuntimeError as error:
        return [is_same, type(error).__name__]
    return [is_same, "accepted"]
