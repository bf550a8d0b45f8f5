"""recomputationCheckpoint takes tensors only."""

RAISES = ("ValueError", "")


def program(poptorch):
    return poptorch.recomputationCheckpoint(3)
