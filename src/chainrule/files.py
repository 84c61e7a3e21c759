"""Floor 0, files: temporary file and rename; safetensors with a JSON header; size limits. Nothing read here runs code."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

FORMAT = "chainrule"
VERSION = 1
# A file larger than this is not read unless the caller allows it.
MOST_BYTES = 4 * 1024**3
_MOST_HEADER = 100 * 1024**2
_DTYPES = {"F32": np.float32, "F64": np.float64, "I64": np.int64, "I32": np.int32, "U8": np.uint8, "BOOL": np.bool_}


class FileError(ValueError):
    """A file that cannot be read or written, and why, in one sentence."""


def write_atomically(path: str | os.PathLike, write: Callable[[IO[bytes]], Any]) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in its place in one step.

    Whatever happens on the way, `path` is either the old file, whole, or the new one.

    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_atomically(pathlib.Path(folder, "a"), lambda file: file.write(b"whole"))
    ...     pathlib.Path(folder, "a").read_bytes()
    b'whole'
    """
    path = Path(path)
    folder = path.parent
    if path.is_dir():
        raise FileError(f"{path} is a folder; give the name of a file")
    if not folder.is_dir():
        raise FileError(f"cannot write {path}: the folder {folder} does not exist")
    try:
        handle, name = tempfile.mkstemp(dir=folder, prefix=f".{path.name}.", suffix=".part")
    except OSError as error:
        raise FileError(f"cannot write {path}: {error.strerror}") from error
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, _mode(path))
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _mode(path: Path) -> int:
    """What the file would have had without the detour: its own permissions, else those of a new file."""
    if path.exists():
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def save_arrays(path: str | os.PathLike, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> None:
    """Write arrays and JSON-able metadata as one safetensors file, with a checksum over both."""
    from safetensors.numpy import save

    plain = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    for name, array in plain.items():
        if array.dtype not in _DTYPES.values():
            raise TypeError(f"the array {name!r} has dtype {array.dtype}, which a model file does not hold")
    text = json.dumps(metadata, allow_nan=False, sort_keys=True)
    header = {"format": FORMAT, "version": str(VERSION), "metadata": text, "sha256": _digest(plain, text)}
    data = save(plain, metadata=header)
    write_atomically(path, lambda file: file.write(data))


def _digest(arrays: Mapping[str, np.ndarray], text: str) -> str:
    found = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        found.update(f"\0{name}\0{array.dtype}\0{array.shape}\0".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def load_arrays(
    path: str | os.PathLike, *, max_bytes: int = MOST_BYTES
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """(arrays, metadata) of a file that `save_arrays` wrote; anything else is a FileError that says what is wrong."""
    path = Path(path)
    data = _read(path, max_bytes)
    header = _header(path, data)
    own = header.pop("__metadata__", None)
    if not isinstance(own, dict) or own.get("format") != FORMAT:
        raise FileError(f"{path} is a safetensors file, but not one that chainrule wrote")
    version = own.get("version", "")
    if not version.isdigit():
        raise FileError(f"{path} does not say which version of the format it has; it was altered")
    if int(version) > VERSION:
        raise FileError(
            f"{path} has format version {version}, this chainrule reads up to {VERSION}: "
            "it was written by a later release; upgrade with pip install -U chainrule"
        )
    start = 8 + struct.unpack("<Q", data[:8])[0]
    arrays = {name: _array(path, data, start, name, entry) for name, entry in header.items()}
    text = own.get("metadata", "")
    if own.get("sha256") != _digest(arrays, text):
        raise FileError(f"{path} was altered or damaged: its checksum does not fit its content")
    try:
        return arrays, _json(text)
    except ValueError as error:
        raise FileError(f"{path} has a description that is not JSON: {error}") from error


def _read(path: Path, max_bytes: int) -> bytes:
    if not path.exists():
        raise FileError(f"there is no file {path}")
    if path.is_dir():
        raise FileError(f"{path} is a folder; give the name of a model file")
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise FileError(f"{path} has {size:,} bytes; at most {max_bytes:,} are read")
        data = path.read_bytes()
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror}") from error
    if not data:
        raise FileError(f"{path} is empty")
    return data


def _header(path: Path, data: bytes) -> dict[str, Any]:
    """The JSON header: 8 bytes of length, then that many bytes of text."""
    size = struct.unpack("<Q", data[:8])[0] if len(data) >= 8 else 0
    if size < 2 or size > _MOST_HEADER or data[8:9] != b"{":
        raise FileError(f"{path} is not a chainrule model file")
    if 8 + size > len(data):
        raise FileError(f"{path} was cut short: it ends within its header")
    try:
        header = _json(data[8 : 8 + size].decode("utf-8"))
    except ValueError as error:
        raise FileError(f"{path} has a header that cannot be read: it was altered or damaged") from error
    if not isinstance(header, dict):
        raise FileError(f"{path} is not a chainrule model file")
    return header


def _json(text: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a name occurs twice")
        return found

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is not JSON")

    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _array(path: Path, data: bytes, start: int, name: str, entry: Any) -> np.ndarray:
    """One array, its place and size checked against the file before anything is allocated."""
    damaged = FileError(f"{path} was altered or damaged: the entry {name!r:.60} does not fit the file")
    try:
        dtype = np.dtype(_DTYPES[entry["dtype"]])
        shape = entry["shape"]
        low, high = entry["data_offsets"]
    except (KeyError, TypeError, ValueError):
        raise damaged from None
    if not all(type(n) is int and 0 <= n <= len(data) for n in (*shape, low, high)) or len(shape) > 32:
        raise damaged
    if start + high > len(data):
        raise FileError(f"{path} was cut short: the entry {name!r:.60} lies past its end")
    count = 1
    for n in shape:
        count *= n
    if high - low != count * dtype.itemsize:
        raise damaged
    return np.frombuffer(data, dtype, count, start + low).reshape(shape).copy()
