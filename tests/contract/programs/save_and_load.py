"""A compiled model is saved and loaded with its weights; another file is refused."""

import os
import tempfile

import torch

RETURNS = [True, "Error"]


def program(poptorch):
    layer = torch.nn.Linear(2, 2)
    model = poptorch.inferenceModel(layer)
    expected = model(torch.ones(1, 2))
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.poptorch")
        model.save(path)
        found = poptorch.load(path)(torch.ones(1, 2))
        with open(path, "wb") as file:
            file.write(b"nothing of the kind")
        try:
            poptorch.load(path)
            other = "nothing"
        except Exception as error:
            other = type(error).__name__
    return [torch.allclose(found, expected), other]
