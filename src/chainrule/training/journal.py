"""Floor 3, training: the journal of evaluations, the checkpoint of methods whose workspace is hidden (SciPy's)."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import zlib
from collections.abc import Callable, Mapping
from typing import IO, Any

import numpy as np

from chainrule.files import write_atomically

from .checkpoint import CheckpointError, Randomness, check_path, check_same, start
from .fingerprint import Fingerprint
from .history import from_json, to_json
from .interrupts import Held

_MAGIC = b"chainrule journal 1\n"
_FRAME = struct.Struct("<QI")  # length of the payload, its CRC-32
_MOST_HEADER = 10 * 1024**2


class EvaluationJournal:
    """A function point -> (value, gradient) whose answers are kept in a file, `path`, in order.

    A method that is deterministic asks the same points again when it is started again: resumed, the journal answers
    from the file until it ends there, without evaluating, and the method goes on to the same bits. Each record holds a
    hash of its point, so that a method which asks for another point is refused. A record cut off by a kill, and
    whatever follows it, is dropped: it is evaluated again.

    The file grows by 8 (K + 5) bytes an evaluation for K parameters. Records reach the operating system at once, which
    survives the process's death but not the machine's.

    Parameters and errors as for `Checkpointer`; use it in a `with`.

    >>> import tempfile, scipy.optimize
    >>> calls = []
    >>> def f(x):
    ...     calls.append(x)
    ...     return float(x @ x), 2 * x
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for resume in (False, True):
    ...         with EvaluationJournal(f, os.path.join(folder, "j"), resume=resume) as journal:
    ...             found = scipy.optimize.minimize(journal, np.ones(3), jac=True, method="L-BFGS-B")
    ...         print(found.nfev, len(calls), journal.replayed)
    3 3 0
    3 3 3
    """

    def __init__(
        self,
        function: Callable[[np.ndarray], tuple[float, np.ndarray]],
        path: str | os.PathLike,
        *,
        resume: bool = False,
        data: Mapping[str, Any] | None = None,
        parameters: Mapping[str, Any] | None = None,
        generator: np.random.RandomState | np.random.Generator | None = None,
    ):
        self.function, self.path = function, check_path(path)
        self.replayed = 0  # evaluations answered from the file
        self.resuming = resume and self.path.exists()
        self.replaying = self.resuming  # whether the file may still have the next answer
        now = Fingerprint.of(data or {}, parameters or {})
        if not self.resuming:
            begins = None if generator is None else start(Randomness(generator), None, self.path)
            header = to_json({"kind": "journal", "start": begins, "fingerprint": now.to_json()})
            text = json.dumps(header, allow_nan=False, sort_keys=True).encode()
            write_atomically(self.path, lambda file: file.write(_MAGIC + _framed(text)))
        self._file: IO[bytes] = open(self.path, "r+b")  # noqa: SIM115 (closed by close())
        try:
            header = self._read_header()
            check_same(self.path, header, now)
            if self.resuming and generator is not None:
                start(Randomness(generator), from_json(header["start"]), self.path)
        except BaseException:
            self.close()
            raise
        self._end = self._file.tell()  # of the last good record so far

    def __call__(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        """f(point) and its gradient: from the file where it has the next answer, else evaluated and written there."""
        point = np.ascontiguousarray(point, np.float64)
        mark = hashlib.blake2b(point.tobytes(), digest_size=16).digest()
        if self.replaying:
            record = self._next(16 + 8 + 8 * point.size)
            if record is not None:
                return self._answer(record, mark, point)
        found, gradient = self.function(point)
        value, gradient = float(found), np.ascontiguousarray(gradient, np.float64).reshape(point.shape)
        self._append(mark + struct.pack("<d", value) + gradient.astype("<f8").tobytes())
        return value, gradient

    def _answer(self, record: bytes, mark: bytes, point: np.ndarray) -> tuple[float, np.ndarray]:
        if record[:16] != mark:
            raise CheckpointError(
                f"cannot resume from {self.path}: its evaluation {self.replayed + 1} was at another point. The journal "
                "comes from other versions of the libraries or another machine; use resume=False to begin anew"
            )
        self.replayed += 1
        gradient = np.frombuffer(record, "<f8", offset=24).astype(np.float64)
        return struct.unpack_from("<d", record, 16)[0], gradient.reshape(point.shape)

    def _next(self, size: int) -> bytes | None:
        """The next record; at the first that is not whole the replay ends, and the file with it."""
        record = _unframed(self._file, size)
        if record is not None and len(record) == size:
            self._end = self._file.tell()
            return record
        self.replaying = False
        self._file.seek(self._end)
        self._file.truncate()
        return None

    def _append(self, record: bytes) -> None:
        with Held():
            try:
                self._file.write(_framed(record))
                self._file.flush()
            except BaseException:
                self._file.seek(self._end)
                self._file.truncate()
                raise
            self._end = self._file.tell()

    def _read_header(self) -> dict[str, Any]:
        magic = self._file.read(len(_MAGIC))
        text = _unframed(self._file, _MOST_HEADER) if magic == _MAGIC else None
        try:
            return json.loads(text or b"")
        except ValueError as error:
            what = "is damaged" if magic == _MAGIC else "is not a journal of evaluations"
            raise CheckpointError(f"cannot resume: {self.path} {what}") from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> EvaluationJournal:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _framed(payload: bytes) -> bytes:
    return _FRAME.pack(len(payload), zlib.crc32(payload)) + payload


def _unframed(file: IO[bytes], most: int) -> bytes | None:
    """The payload of the frame at the file's position, if it is whole and has at most `most` bytes."""
    frame = file.read(_FRAME.size)
    if len(frame) < _FRAME.size:
        return None
    size, checksum = _FRAME.unpack(frame)
    payload = file.read(size) if size <= most else b""
    return payload if len(payload) == size and zlib.crc32(payload) == checksum else None
