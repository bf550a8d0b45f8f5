"""Saving a compiled executor to a file and taking it up again."""

from __future__ import annotations

from typing import Any, Dict, Optional

from .._errors import py_error
from . import files, host_model


class Files:
    """The saving half of PoplarExecutor."""

    def _need_compiled(self) -> None:
        raise NotImplementedError

    def save(self, filename: str, export_model: bool = True, save_rng_state: bool = True) -> None:
        """Write the compiled executor, with the model unless told otherwise, into a file."""
        self._need_compiled()
        executor: Any = self
        executor.copyWeightsToHostIfNeeded()
        files.write(filename, _content(executor, export_model, save_rng_state))

    def compileAndExport(self, filename: str, *args: Any, export_model: bool = True, **kwargs: Any) -> None:
        """Compile for these arguments and save."""
        executor: Any = self
        executor.compile(*args, **kwargs)
        self.save(filename, export_model)

    def loadExecutable(self, filename: str) -> None:
        """Take up what a file was compiled for; Error if another version wrote it."""
        try:
            content = files.read(filename)
        except AssertionError as error:
            raise py_error(str(error)) from error
        restore(self, content)


def _content(executor: Any, export_model: bool, save_rng_state: bool) -> Dict[str, Any]:
    model: Optional[Any] = None
    if export_model:
        model = host_model.plain_copy(executor._user_model)
    return {
        "model": model,
        "options": executor._options.clone(),
        "training": executor._training,
        "optimizer": None,
        "arguments": (executor._first_arguments.args, executor._first_arguments.kwargs),
        "rng_state": executor._rng.state if save_rng_state else None,
    }


def restore(executor: Any, content: Dict[str, Any]) -> None:
    """Compile an executor for the arguments in a file."""
    args, kwargs = content["arguments"]
    executor.compile(*args, **kwargs)
    if content["rng_state"] is not None:
        executor.rng_state = content["rng_state"]
