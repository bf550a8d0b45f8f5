"""PopTorch's exception family (poptorch.Error is no RuntimeError; match its text by substrings only).

Errors made in PopTorch's Python layer print as ``'poptorch_py_error': message``; errors that come out of
its C++ layers print as ``In file:line: 'type': message`` followed by an "Error raised in:" context. Both
forms are made here.
"""

from __future__ import annotations


class Error(Exception):
    """Anything that tracing, lowering or the device refuses; ``type``, ``message`` and ``location`` say
    what."""

    type = ""
    message = ""
    location = ""


class RecoverableError(Error):
    """A device fault after which the named reset (``recovery_action``) makes the device usable again."""

    recovery_action = ""


class UnrecoverableError(Error):
    """A device fault that ends the process's use of the device."""


class ConfigFileError(Exception):
    """A line of an options file (``Options.loadFromFile``) that can not be read."""


def _fill(error: Error, kind: str, message: str, location: str) -> Error:
    error.type = kind
    error.message = message
    error.location = location
    return error


def dynamic_shape_error(message: str) -> RuntimeError:
    """torch's own DynamicOutputShapeException, which a trace raises where a shape depends on values."""
    from torch._subclasses.fake_tensor import DynamicOutputShapeException as TorchsOwn

    class DynamicOutputShapeException(TorchsOwn):
        """With a message that says where."""

        def __str__(self) -> str:
            return message

    return DynamicOutputShapeException(message)  # type: ignore[arg-type] - torch's takes an operator


def py_error(message: str) -> Error:
    """An Error as the Python layer makes it: type ``poptorch_py_error``."""
    return _fill(Error(f"'poptorch_py_error': {message}"), "poptorch_py_error", message, "")


def cpp_error(message: str, type: str = "popart_exception", location: str = "ipumodel:0") -> Error:
    """An Error as it comes out of the C++ layers; ``type`` is one of PopTorch's names, such as
    poptorch_cpp_error."""
    text = f"In {location}: '{type}': {message}\nError raised in:\n  [0] {location}"
    return _fill(Error(text), type, message, location)
