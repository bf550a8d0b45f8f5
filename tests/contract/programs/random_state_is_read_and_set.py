"""rng_state is a list of ints; set back, the same numbers come again."""

import torch

RETURNS = [True, True, False]


class Noise(torch.nn.Module):
    def forward(self, x):
        return x + torch.randn(4)


def program(poptorch):
    model = poptorch.inferenceModel(Noise())
    x = torch.zeros(4)
    model(x)
    state = model.rng_state
    ints = isinstance(state, list) and all(isinstance(value, int) for value in state)
    second = model(x)
    third = model(x)
    model.rng_state = state
    return [ints, torch.equal(model(x), second), torch.equal(third, second)]
