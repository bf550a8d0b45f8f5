"""A seed is an int."""

RAISES = ("AssertionError", "")


def program(poptorch):
    poptorch.Options().randomSeed("5")
