"""What ends a run through no fault of its settings. Wrong settings are a ValueError."""

from __future__ import annotations


class RunFailed(RuntimeError):
    """A run that began and can not go on, such as a device that failed; the text is for the user.

    The command line prints it as one line and ends with exit code 1.
    """


class RunStopped(BaseException):
    """A signal asked for the end, and all that was done is saved. Nothing may take it for a failure.

    ``is_agreed``: all processes of the job end at the same call.

    The command line prints it as one line and ends with exit code 130 (SIGINT) or 143 (any other notice).
    """

    def __init__(self, number: int, text: str, *, is_agreed: bool = False) -> None:
        super().__init__(text)
        self.number, self.is_agreed = number, is_agreed

    @property
    def code(self) -> int:
        """The exit code that shells and schedulers know."""
        return 130 if self.number == 2 else 143
