"""``python -m ipu_app VERB``: the command line. Verbs are imported only when they are used."""

from __future__ import annotations

import argparse
import importlib
import os
import select
import signal
import sys
from typing import List, Optional, Sequence, TextIO

from ipu_app.cli.terminal import make_patient
from ipu_app.errors import RunFailed, RunStopped, explained

# verb -> what it does; the module is ipu_app.cli.<verb>
VERBS = {
    "train": "train a network on IPUs (real or simulated), CUDA or CPU",
    "validate": "classify the validation images with a finished run's weights",
    "predict": "name what is in images, with a finished run's weights",
    "export": "write a finished run's network as safetensors, TorchScript or ONNX",
    "plan": "estimate plans for IPUs: splits, batch factors, images/s and memory, before compiling",
    "scale": "scale networks by phi, or search the coefficients of scaling",
    "search": "search for networks by training speed, size and accuracy",
    "launch": "start a job of several instances, or write its job file for a cluster",
    "shards": "write a data set as tar shards",
    "doctor": "say what this machine has, and which device would be used",
}


# what the system says of a path that a user gave: the wrong kind of thing is there, or it may not be used
WRONG_PATHS = (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError)
READER_GONE = 141  # what a shell reports of a program that SIGPIPE ended


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run one verb; bad input ends with one line on standard error and exit code 2."""
    if argv is None:
        make_patient()
    try:
        return _run(list(sys.argv[1:] if argv is None else argv))
    except (ValueError, *WRONG_PATHS) as error:
        print(f"ipu_app: error: {explained(error) or _one_line(error)}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        line = _one_line(error) if isinstance(error, RunFailed) else explained(error)
        if not line:
            raise
        print(f"ipu_app: error: {line}", file=sys.stderr)
        return 1
    except ConnectionError as error:  # another process of the job is gone, or who reads our output (`| head`)
        if isinstance(error, BrokenPipeError) and _silence_unread_output():
            return READER_GONE
        print(f"ipu_app: error: {_one_line(error)}", file=sys.stderr)
        return 1
    except OSError as error:  # a disk that is full, gone or broken
        where = f" ({error.filename})" if error.filename else ""
        print(f"ipu_app: error: {error.strerror or _one_line(error)}{where}", file=sys.stderr)
        return 1
    except RunStopped as stopped:
        name = signal.Signals(stopped.number).name
        print(f"ipu_app: stopped by {name}: {_one_line(stopped)}", file=sys.stderr)
        return stopped.code
    except KeyboardInterrupt:
        print("ipu_app: interrupted", file=sys.stderr)
        return 130


def _run(arguments: List[str]) -> int:
    parser = _parser(arguments)
    try:
        args = parser.parse_args(arguments)
        code: int = args.handler(args)
        return code
    finally:
        sys.stdout.flush()  # a reader that is gone is noticed here, not while Python shuts down


def _silence_unread_output() -> bool:
    """Return whether the reader of our output is gone; if so, what is left of the output goes nowhere."""
    unread = [stream for stream in (sys.stdout, sys.stderr) if _is_unread(stream)]
    for stream in unread:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return bool(unread)


def _is_unread(stream: TextIO) -> bool:
    """Ask the system, as what is buffered tells nothing where Python runs unbuffered."""
    poll = select.poll()
    try:
        poll.register(stream.fileno(), 0)
    except OSError:  # no file, as in a test that captures it
        return False
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _parser(arguments: List[str]) -> argparse.ArgumentParser:
    """Only the verb in use fills in its options, so that the others cost no import."""
    parser = argparse.ArgumentParser(
        prog="ipu_app",
        description="EfficientNet with group convolutions and proxy norm, on IPUs, GPUs and CPUs.",
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    chosen = next((word for word in arguments if not word.startswith("-")), None)
    for verb, summary in VERBS.items():
        sub = verbs.add_parser(verb, help=summary, description=summary)
        if verb == chosen:
            module = importlib.import_module(f"ipu_app.cli.{verb}")
            module.add_arguments(sub)
            sub.set_defaults(handler=module.run)
    return parser


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


if __name__ == "__main__":
    sys.exit(main())
