"""What ends a run through no fault of its settings. Wrong settings are a ValueError."""

from __future__ import annotations


class RunFailed(RuntimeError):
    """A run that began and can not go on, such as a device that failed; the text is for the user.

    The command line prints it as one line and ends with exit code 1.
    """
