"""Floor 0, files: temporary file and rename; safetensors with a JSON header; size limits. Nothing read runs code."""

from __future__ import annotations

import hashlib
import json
import math
import os
import secrets
import stat
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

FORMAT = "chainrule"
VERSION = 1
# A file larger than this is not read unless the caller allows it.
MOST_BYTES = 4 * 1024**3
# Names, shapes and the description together. Parsed JSON takes up to 25 times its text in memory.
_MOST_HEADER = 32 * 1024**2
_MOST_DIMENSIONS = 32
# safetensors' word -> dtype
DTYPES: dict[str, np.dtype] = {
    word: np.dtype(name)
    for word, name in {
        "F32": "float32", "F64": "float64", "BOOL": "bool",
        "I8": "int8", "I16": "int16", "I32": "int32", "I64": "int64",
        "U8": "uint8", "U16": "uint16", "U32": "uint32", "U64": "uint64",
    }.items()
}  # fmt: skip


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
    path = _path(path)
    try:
        place = path.resolve()  # what a symbolic link points to is replaced, not the link
        mode = place.stat().st_mode if place.exists() else None
        folder_exists = place.parent.is_dir()
    except (OSError, RuntimeError) as error:
        raise FileError(f"cannot write {path}: {_reason(error)}") from error
    if mode is not None and not stat.S_ISREG(mode):
        raise FileError(f"{path} is {_what(mode)}; give the name of a file")
    if not folder_exists:
        raise FileError(f"cannot write {path}: the folder {path.parent} does not exist")
    part = place.parent / f".{secrets.token_hex(8)}.part"
    try:
        # made with the permissions that any new file gets here; an old file's are kept
        with open(part, "xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            os.chmod(part, mode & 0o777)
        os.replace(part, place)
    except BaseException as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise FileError(f"cannot write {path}: {_reason(error)}") from error
        raise


def _path(path: Any) -> Path:
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"the name of a file must be a string or a Path, got {type(path).__name__} {path!r:.60}")
    name = os.fspath(path)
    if not isinstance(name, str):
        raise TypeError(f"the name of a file must be text, got {name!r:.60}")
    if not name or "\0" in name:
        raise FileError(f"{name!r:.60} cannot be the name of a file")
    return Path(name)


def _reason(error: BaseException) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _what(mode: int) -> str:
    return "a folder" if stat.S_ISDIR(mode) else "a pipe or device, not a file"


def save_arrays(path: str | os.PathLike, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> None:
    """Write arrays and JSON-able metadata as one safetensors file, with a checksum over both."""
    from safetensors.numpy import save

    plain = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    for name, array in plain.items():
        if array.dtype not in DTYPES.values() or array.ndim > _MOST_DIMENSIONS:
            raise TypeError(f"the array {name!r} has dtype {array.dtype}, which a model file does not hold")
    try:
        text = json.dumps(metadata, allow_nan=False, sort_keys=True)
        _json(text)  # what cannot be read back is not written
    except ValueError as error:
        raise FileError(f"cannot write {path}: its description is not JSON: {error}") from error
    header = {"format": FORMAT, "version": str(VERSION), "metadata": text, "sha256": _digest(plain, text)}
    data = save(plain, metadata=header)
    if struct.unpack("<Q", data[:8])[0] > _MOST_HEADER:
        raise FileError(f"cannot write {path}: its description is larger than {_MOST_HEADER:,} bytes")
    write_atomically(path, lambda file: file.write(data))


def _digest(arrays: Mapping[str, np.ndarray], text: str) -> str:
    found = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        found.update(f"\0{name}\0{array.dtype}\0{array.shape}\0".encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def load_arrays(
    path: str | os.PathLike, *, max_bytes: int = MOST_BYTES
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """(arrays, metadata) of a file that `save_arrays` wrote; anything else is a FileError that says what is wrong."""
    path = _path(path)
    data = _read(path, max_bytes)
    header = _header(path, data)
    own = header.pop("__metadata__", None)
    if not isinstance(own, dict) or own.get("format") != FORMAT:
        raise FileError(f"{path} is a safetensors file, but not one that chainrule wrote")
    _check_version(path, own.get("version"))
    start = 8 + struct.unpack("<Q", data[:8])[0]
    places = [(_place(path, data, start, name, entry), name) for name, entry in header.items()]
    _check_cover(path, [place for place, _ in places], len(data) - start)
    arrays = {name: place.read(path, data, start) for place, name in places}
    text = own.get("metadata")
    if not isinstance(text, str) or own.get("sha256") != _digest(arrays, text):
        raise FileError(f"{path} was altered or damaged: its checksum does not fit its content")
    try:
        metadata = _json(text)
    except ValueError as error:
        raise FileError(f"{path} has a description that is not JSON: {error!s:.200}") from error
    if not isinstance(metadata, dict):
        raise FileError(f"{path} has a description that is not an object of JSON")
    return arrays, metadata


def _check_version(path: Path, version: Any) -> None:
    if not isinstance(version, str) or not (version.isascii() and version.isdigit() and len(version) < 10):
        raise FileError(f"{path} does not say which version of the format it has; it was altered")
    if int(version) > VERSION:
        raise FileError(
            f"{path} has format version {version}, this chainrule reads up to {VERSION}: "
            "it was written by a later release; upgrade with pip install -U chainrule"
        )


def _read(path: Path, max_bytes: int) -> bytes:
    try:
        _check_readable(path, os.stat(path), max_bytes)  # before it is opened: a pipe would wait for its writer
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))) as file:
            found = os.fstat(file.fileno())
            _check_readable(path, found, max_bytes)
            data = file.read(found.st_size)  # a file that grows meanwhile is read as far as it was
    except FileNotFoundError:
        raise FileError(f"there is no file {path}") from None
    except OSError as error:
        raise FileError(f"cannot read {path}: {_reason(error)}") from error
    if not data:
        raise FileError(f"{path} is empty")
    return data


def _check_readable(path: Path, found: os.stat_result, max_bytes: int) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise FileError(f"{path} is {_what(found.st_mode)}; give the name of a model file")
    if found.st_size > max_bytes:
        raise FileError(f"{path} has {found.st_size:,} bytes; at most {max_bytes:,} are read")


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
    """Strict JSON: no name twice, finite numbers only, no half of a character; anything else is a ValueError."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a name occurs twice")
        return found

    def finite(word: str) -> float:
        number = float(word)
        if not abs(number) < float("inf"):
            raise ValueError(f"{word:.20} is not a finite number")
        return number

    try:
        found = json.loads(text, object_pairs_hook=unique, parse_constant=finite, parse_float=finite)
        if "\\ud" in text.lower():
            json.dumps(found, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except UnicodeEncodeError as error:
        raise ValueError("it holds half of a character") from error
    return found


@dataclass(frozen=True)
class _Place:
    """Where in the file one array lies; sizes are checked before anything is allocated."""

    dtype: np.dtype
    shape: tuple[int, ...]
    low: int
    high: int

    def read(self, path: Path, data: bytes, start: int) -> np.ndarray:
        count = (self.high - self.low) // self.dtype.itemsize
        flat = np.frombuffer(data, self.dtype, count, start + self.low)
        if self.dtype == bool and count and flat.view(np.uint8).max() > 1:
            raise FileError(f"{path} was altered or damaged: a truth value is neither 0 nor 1")
        try:
            return flat.reshape(self.shape).copy()
        except ValueError as error:  # such as no element and sides whose product overflows
            raise FileError(f"{path} was altered or damaged: an array has the shape {self.shape}") from error


def _place(path: Path, data: bytes, start: int, name: str, entry: Any) -> _Place:
    damaged = FileError(f"{path} was altered or damaged: the entry {name!r:.60} does not fit the file")
    try:
        dtype = DTYPES[entry["dtype"]]
        shape = tuple(entry["shape"])
        low, high = entry["data_offsets"]
    except (KeyError, TypeError, ValueError):
        raise damaged from None
    if len(shape) > _MOST_DIMENSIONS or not all(type(n) is int and 0 <= n <= len(data) for n in (*shape, low, high)):
        raise damaged
    if start + high > len(data):
        raise FileError(f"{path} was cut short: the entry {name!r:.60} lies past its end")
    if high - low != math.prod(shape) * dtype.itemsize:
        raise damaged
    return _Place(dtype, shape, low, high)


def _check_cover(path: Path, places: list[_Place], size: int) -> None:
    """The arrays fill the file without gap or overlap: what is read takes no more memory than the file."""
    at = 0
    for place in sorted(places, key=lambda p: (p.low, p.high)):
        if place.low != at:
            raise FileError(f"{path} was altered or damaged: its arrays overlap or leave a gap")
        at = place.high
    if at != size:
        raise FileError(f"{path} was altered or damaged: {abs(size - at):,} bytes belong to no array")
