"""What ends a run through no fault of its settings. Wrong settings are a ValueError."""

from __future__ import annotations

# what PyTorch says (a part of it, in small letters) -> what that means for the settings
_KNOWN = (
    (
        "more than 1 value per channel",
        "batch norm has one value to take statistics over: raise phases.NAME.batch.micro (torch_micro) or "
        "phases.NAME.resolution, or choose another model.norm",
    ),
    (
        "shared memory",
        "a loader process has no more shared memory: make /dev/shm larger, or set data.workers=0",
    ),
    (
        "dataloader worker",
        "a loader process was ended from outside, most likely for lack of memory: lower data.workers",
    ),
    ("data fetcher", "a loader process ended: see what it said above; lower data.workers if memory ran out"),
    ("too many open files", "too many open files: lower data.workers, or raise `ulimit -n`"),
    ("out of memory", "the device is out of memory: lower phases.NAME.batch.torch_micro (or batch.micro)"),
    ("can't allocate memory", "the host is out of memory: lower data.workers or batch.torch_micro"),
)


def explained(error: BaseException) -> str:
    """Return in one line what an error of PyTorch's that users can help means, and its first line; '' for
    others.
    """
    text = str(error)
    meaning = next((meaning for part, meaning in _KNOWN if part in text.lower()), "")
    return f"{meaning} ({text.strip().splitlines()[0][:200]})" if meaning else ""


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
