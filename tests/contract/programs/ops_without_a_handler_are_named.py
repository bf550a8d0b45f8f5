"""Each operation without a handler is refused by its own name; samplers and complex numbers too."""

import torch

RETURNS = ["lgamma", "digamma", "erfinv", "special_ndtri", "multinomial", "lerp", "tril", "huber_loss"]


class Net(torch.nn.Module):
    def __init__(self, operation):
        super().__init__()
        self.operation = operation

    def forward(self, x):
        return x + self.operation(x).sum()


def program(poptorch):
    operations = {
        "lgamma": lambda x: x.lgamma(),
        "digamma": lambda x: x.digamma(),
        "erfinv": lambda x: (x / 2).erfinv(),
        "special_ndtri": lambda x: torch.special.ndtri(x / 2),
        "multinomial": lambda x: torch.multinomial(x, 1),
        "lerp": lambda x: torch.lerp(x, x + 1, 0.5),
        "tril": lambda x: x.view(1, 3).tril(),
        "huber_loss": lambda x: torch.nn.functional.huber_loss(x, x + 1),
    }
    found = []
    for name, operation in operations.items():
        try:
            poptorch.inferenceModel(Net(operation))(torch.ones(3))
        except poptorch.Error as error:
            assert "Unsupported ops found in compiled model" in str(error), str(error)
            found.append(name if f"aten::{name}" in str(error) else str(error))
    return found
