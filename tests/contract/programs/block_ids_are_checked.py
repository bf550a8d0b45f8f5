"""A block's user_id is a string or a number from 0 on, its ipu_id a number."""

RAISES = ("AssertionError", "")


def program(poptorch):
    poptorch.Block(user_id=3, ipu_id=0)
    return poptorch.Block("a", ipu_id="0")
