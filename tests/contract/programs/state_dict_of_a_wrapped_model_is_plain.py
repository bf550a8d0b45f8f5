"""Names, types and a file of a wrapped model are those of the model itself."""

import io

import torch

RETURNS = [["body.0.weight", "body.0.bias", "body.1.scale"], ["Tensor"] * 3, True]


class Scale(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.ones(1))

    def forward(self, x):
        return x * self.scale


class Net(torch.nn.Module):
    def __init__(self, poptorch):
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Linear(2, 2), Scale())
        poptorch.BeginBlock(self.body[1], "scale", ipu_id=0)

    def forward(self, x):
        return torch.nn.functional.mse_loss(self.body(x), x)


def program(poptorch):
    model = Net(poptorch)
    training = poptorch.trainingModel(model)
    training(torch.ones(1, 2))
    state = model.state_dict()
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    other = Net(poptorch)
    other.load_state_dict(torch.load(file))
    same = torch.equal(other.body[0].weight.detach(), model.body[0].weight.detach())
    return [list(state), [type(value).__name__ for value in state.values()], same]
