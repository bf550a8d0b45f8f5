"""Files of weights from elsewhere: safetensors, and what ``torch.save`` wrote, read without running it.

``torch.load`` runs what a file says; with ``weights_only`` it does so still for TorchScript archives and for
old tar files before torch 2.6, and PopTorch needs 2.0.1. So the formats are read here: a zip archive with a
pickle ``data.pkl`` and a member for each storage, or (before torch 1.6) pickles followed by the storages.
Objects that are no tensors, numbers or text are left out, and named.
"""

from __future__ import annotations

import io
import math
import os
import struct
import zipfile
from pathlib import Path
from typing import Any, BinaryIO, Callable, Dict, List, NamedTuple, Tuple

import torch
from torch import Tensor

from ipu_app.files.pickles import PlainUnpickler, load_pickle
from pipelines.door import BadFile, open_plain, shown

MOST_PICKLE_BYTES = 1 << 26  # of names and shapes; a B7's checkpoint with its optimiser has 1 MB
_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # how torch.save began before 1.6
_DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


class Content(NamedTuple):
    """What a file holds; ``strangers``: classes of objects in it that were not made, as module.name."""

    value: Any
    strangers: Tuple[str, ...]


def read_tensors(path: Path) -> Content:
    """Return what a file of weights holds, by its content whatever its name; BadFile where it is none."""
    with os.fdopen(open_plain(path), "rb") as file:
        first = file.read(16)
        file.seek(0)
        if first.startswith(_MAGIC):
            return _read_old(file, path)
        if first.startswith(b"PK"):
            return _read_zip(file, path)
    if len(first) > 8 and first[8:9] == b"{":
        return Content(read_safetensors(path), ())
    raise BadFile(f"{shown(path)}: neither safetensors nor a file that torch.save wrote")


def read_safetensors(path: Path) -> Dict[str, Tensor]:
    """Return the tensors of a safetensors file; BadFile for another or a damaged one."""
    from safetensors.torch import load_file

    os.close(open_plain(path))
    try:
        found: Dict[str, Tensor] = load_file(str(path))
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:  # SafetensorError, and what damaged headers lead to
        raise BadFile(f"{shown(path)}: not a whole safetensors file ({shown(error)})") from None
    return found


def _read_zip(file: BinaryIO, path: Path) -> Content:
    try:
        with zipfile.ZipFile(file) as archive:
            return _read_archive(archive, os.fstat(file.fileno()).st_size, path)
    except BadFile:
        raise
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, NotImplementedError, RuntimeError) as error:
        raise BadFile(f"{shown(path)}: not a whole file of torch.save ({shown(error)})") from None


def _read_archive(archive: zipfile.ZipFile, size: int, path: Path) -> Content:
    names = archive.namelist()
    if any(name.endswith("constants.pkl") or "/code/" in name for name in names):
        raise BadFile(f"{shown(path)}: a TorchScript archive, which is a program; a state dict is needed")
    if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
        raise BadFile(f"{shown(path)}: a compressed archive, which torch.save does not write")
    if len(set(names)) < len(names) or sum(part.file_size for part in archive.infolist()) > size:
        raise BadFile(f"{shown(path)}: an archive whose parts overlap")
    pickled = [name for name in names if name == "data.pkl" or name.endswith("/data.pkl")]
    if len(pickled) != 1 or archive.getinfo(pickled[0]).file_size > MOST_PICKLE_BYTES:
        raise BadFile(f"{shown(path)}: an archive that torch.save did not write (no data.pkl)")
    folder = pickled[0][: -len("data.pkl")]
    if f"{folder}byteorder" in names and archive.read(f"{folder}byteorder") != b"little":
        raise BadFile(f"{shown(path)}: written on a machine with another order of bytes")
    storages: Dict[str, Tensor] = {}

    def storage(pid: Any) -> Tensor:
        dtype, key, numel = _storage_id(pid)
        if key not in storages:
            storages[key] = _flat(archive.read(f"{folder}data/{key}"), dtype, numel)
        return storages[key]

    unpickler = PlainUnpickler(io.BytesIO(archive.read(pickled[0])), _allowed(), persistent=storage)
    value = load_pickle(unpickler, path)
    return Content(value, tuple(sorted(unpickler.strangers)))


def _storage_id(pid: Any) -> Tuple[torch.dtype, str, int]:
    """Type, key and number of values of ("storage", type, key, location, values, ...)."""
    if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
        raise BadFile("refers to something that is no storage")
    dtype, key, numel = pid[1], pid[2], pid[4]
    if not isinstance(dtype, torch.dtype):
        raise BadFile("has tensors of a type that is not taken (quantised or complex)")
    if not isinstance(key, str) or not isinstance(numel, int) or numel < 0:
        raise BadFile("refers to something that is no storage")
    return dtype, key, numel


def _flat(content: bytes, dtype: torch.dtype, numel: int) -> Tensor:
    if numel * _item_bytes(dtype) != len(content):
        raise BadFile(f"a storage of {numel} values has {len(content)} bytes")
    return torch.frombuffer(bytearray(content), dtype=dtype) if numel else torch.empty(0, dtype=dtype)


def _item_bytes(dtype: torch.dtype) -> int:
    return torch.empty(0, dtype=dtype).element_size()


def _rebuild(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor:
    """A tensor on a storage; BadFile where it would hold more than the storage does."""
    numbers = [offset, *(size if isinstance(size, tuple) else [None])]
    numbers += stride if isinstance(stride, tuple) else [None]
    if not all(isinstance(number, int) and number >= 0 for number in numbers) or len(size) != len(stride):
        raise BadFile("a tensor's shape is no list of numbers")
    if not isinstance(storage, Tensor) or math.prod(size) > storage.numel():
        raise BadFile(f"a tensor of {size} is larger than its storage")
    try:
        return torch.as_strided(storage, size, stride, offset)
    except RuntimeError:
        raise BadFile(f"a tensor of {size} lies outside of its storage") from None


def _table(*pairs: Any) -> Dict[str, Any]:
    """Stands for OrderedDict: a plain dict."""
    found: Dict[str, Any] = {}
    for pair in pairs[0] if pairs else ():
        if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not isinstance(pair[0], str):
            raise BadFile("has a key that is no text")
        found[pair[0]] = pair[1]
    return found


def _allowed() -> Dict[Tuple[str, str], Any]:
    def parameter(data: Any, *_: Any) -> Any:
        return data

    rebuild: Dict[str, Callable[..., Any]] = {
        "_rebuild_tensor": _rebuild,
        "_rebuild_tensor_v2": _rebuild,
        "_rebuild_parameter": parameter,
    }
    return {
        ("collections", "OrderedDict"): _table,
        ("torch", "Size"): lambda sizes=(): tuple(sizes),
        **{("torch._utils", name): function for name, function in rebuild.items()},
        **{("torch", name): dtype for name, dtype in _DTYPES.items()},
    }


class _Limited:
    """A file whose reads take no more memory than it has bytes left."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._size = file, os.fstat(file.fileno()).st_size

    def left(self) -> int:
        return self._size - self._file.tell()

    def read(self, number: int) -> bytes:
        if number > min(self.left(), MOST_PICKLE_BYTES):
            raise EOFError("it ends early")
        return self._file.read(number)

    def readline(self) -> bytes:
        return self._file.readline(MOST_PICKLE_BYTES)


def _read_old(file: BinaryIO, path: Path) -> Content:
    limited = _Limited(file)
    storages: Dict[str, Tensor] = {}
    taken: List[int] = [0]

    def storage(pid: Any) -> Tensor:
        dtype, key, numel = _storage_id(pid)
        if len(pid) > 5 and pid[5] is not None:
            raise BadFile("has views of storages, as torch before 0.4 wrote them; save it anew")
        if key not in storages:
            taken[0] += numel * _item_bytes(dtype)
            if taken[0] > limited.left():
                raise BadFile("names more values than it holds")
            storages[key] = torch.empty(numel, dtype=dtype)
        return storages[key]

    for _ in range(3):  # a magic number, the version, facts on the machine
        load_pickle(PlainUnpickler(limited, {}), path)  # type: ignore[arg-type]
    unpickler = PlainUnpickler(limited, _allowed(), persistent=storage)  # type: ignore[arg-type]
    value = load_pickle(unpickler, path)
    keys = load_pickle(PlainUnpickler(limited, {}), path)  # type: ignore[arg-type]
    if not isinstance(keys, list) or sorted(map(str, keys)) != sorted(storages):
        raise BadFile(f"{shown(path)}: not a whole file of torch.save")
    for key in keys:
        if not _fill(storages[key], file, limited.left()):
            raise BadFile(f"{shown(path)}: it ends within its weights")
    return Content(value, tuple(sorted(unpickler.strangers)))


def _fill(flat: Tensor, file: BinaryIO, left: int) -> bool:
    """Read a storage's values; False where there are not as many."""
    number = flat.numel() * flat.element_size()
    head = file.read(8)
    if len(head) < 8 or struct.unpack("<q", head)[0] != flat.numel() or number > left - 8:
        return False
    if number:
        flat.copy_(torch.frombuffer(bytearray(file.read(number)), dtype=flat.dtype))
    return True
