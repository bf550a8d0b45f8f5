"""A clone of frozen options may be changed, and changes nothing of the original."""

import torch

RETURNS = [1, 3, 4, True, "AttributeError", "AttributeError", "AttributeError", "AttributeError"]


def program(poptorch):
    options = poptorch.Options()
    model = poptorch.inferenceModel(torch.nn.Identity(), options)
    other = options.clone().deviceIterations(3)
    other.Training.gradientAccumulation(4)
    found = [options.device_iterations, other.device_iterations, other.Training.gradient_accumulation]
    found.append(options.defaultOutputMode())
    changes = (
        lambda: options.deviceIterations(2),
        lambda: options.Training.gradientAccumulation(2),
        lambda: options._Popart.set("autoRecomputation", 3),
        lambda: model.options.replicationFactor(2),
    )
    for change in changes:
        try:
            change()
        except Exception as error:
            assert "frozen" in str(error).lower(), str(error)
            found.append(type(error).__name__)
    return found
