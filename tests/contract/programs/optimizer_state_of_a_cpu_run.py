"""The state of a CPU optimizer can not be loaded."""

import torch

RAISES = ("RuntimeError", "Only IPU optimizer states can be loaded onto the IPU")


def program(poptorch):
    model = torch.nn.Linear(2, 2)
    state = torch.optim.SGD(model.parameters(), lr=0.1).state_dict()
    poptorch.optim.SGD(model.parameters(), lr=0.1).load_state_dict(state)
