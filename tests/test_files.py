"""The file layer: whole or not at all, strict when it reads, and every other door than a good file."""

import json
import os
import signal
import struct
import subprocess
import sys
import time

import numpy as np
import pytest

from chainrule.files import DTYPES, FileError, load_arrays, save_arrays, write_atomically

ARRAYS = {str(dtype): np.arange(6).reshape(2, 3).astype(dtype) for dtype in DTYPES.values()} | {
    "none": np.zeros((0, 3)), "number": np.array(2.5), "columns": np.arange(6.0).reshape(2, 3).T,
}  # fmt: skip
METADATA = {"ü": [1, 2.5, None, True, {"deep": "é\n"}]}

posix = pytest.mark.skipif(os.name != "posix", reason="permissions, links and names are others here")


def test_every_type_comes_back(tmp_path):
    save_arrays(tmp_path / "a", ARRAYS, METADATA)
    arrays, metadata = load_arrays(tmp_path / "a")
    assert metadata == METADATA
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert (arrays[name].dtype, arrays[name].shape) == (array.dtype, array.shape)
        assert arrays[name].tobytes() == array.tobytes()
        assert arrays[name].flags.writeable


def test_safetensors_reads_it(tmp_path):
    from safetensors.numpy import load_file

    save_arrays(tmp_path / "a", ARRAYS, METADATA)
    for name, array in load_file(tmp_path / "a").items():
        np.testing.assert_array_equal(array, ARRAYS[name])


@pytest.mark.parametrize("array", [np.zeros(2, np.float16), np.zeros(2, complex), np.array(["a"]), np.zeros(2, ">f8")])
def test_other_types_are_refused(array, tmp_path):
    with pytest.raises(TypeError, match="'x' has dtype"):
        save_arrays(tmp_path / "a", {"x": array}, {})


@pytest.mark.parametrize("metadata", [{"a": float("nan")}, {"a": "\ud800"}, {"a": 10**5000}])
def test_what_cannot_be_read_back_is_not_written(metadata, tmp_path):
    with pytest.raises(FileError, match="not JSON"):
        save_arrays(tmp_path / "a", {}, metadata)
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- writing


@pytest.mark.parametrize("error", [RuntimeError("x"), KeyboardInterrupt(), OSError(28, "No space left on device")])
@pytest.mark.parametrize("old", [b"old", None])
def test_what_goes_wrong_leaves_the_old_file(error, old, tmp_path):
    path = tmp_path / "a"
    if old:
        path.write_bytes(old)

    def write(file):
        file.write(b"half")
        raise error

    with pytest.raises(FileError if isinstance(error, OSError) else type(error)) as caught:
        write_atomically(path, write)
    if isinstance(error, OSError):
        assert str(caught.value) == f"cannot write {path}: No space left on device"
    assert [p.name for p in tmp_path.iterdir()] == (["a"] if old else [])
    assert not old or path.read_bytes() == old


def test_a_disk_that_is_full_says_so(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileError, match="No space left"):
        save_arrays(tmp_path / "a", ARRAYS, {})
    assert not list(tmp_path.iterdir())


@posix
def test_permissions_and_links_stay(tmp_path):
    path, link = tmp_path / "a", tmp_path / "link"
    mask = os.umask(0o027)
    try:
        write_atomically(path, lambda file: file.write(b"1"))
        assert path.stat().st_mode & 0o777 == 0o640
        path.chmod(0o604)
        link.symlink_to(path)
        write_atomically(link, lambda file: file.write(b"2"))
    finally:
        os.umask(mask)
    assert link.is_symlink()
    assert path.read_bytes() == b"2"
    assert path.stat().st_mode & 0o777 == 0o604


def test_a_name_as_long_as_a_name_can_be(tmp_path):
    write_atomically(tmp_path / ("n" * 255), lambda file: file.write(b"1"))
    assert [len(p.name) for p in tmp_path.iterdir()] == [255]


def no_write(path):
    save_arrays(path, {}, {})


@posix
@pytest.mark.parametrize("use", [load_arrays, no_write])
def test_names_that_are_none(use, tmp_path):
    for bad in (3, None, b"x", 2.5, ["a"], object()):
        with pytest.raises(TypeError, match="must be"):
            use(bad)
    for bad in ("", "a\0b", "x" * 5000, tmp_path, tmp_path / "no" / "a"):
        with pytest.raises(FileError):
            use(bad)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").write_bytes(b"x")
    for bad in (tmp_path / "loop" / "a", tmp_path / "file" / "a"):
        with pytest.raises(FileError):
            use(bad)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes by name here")
@pytest.mark.parametrize("use", [load_arrays, no_write])
def test_pipes_and_devices_are_refused_and_do_not_hang(use, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero", "/dev/null"):
        with pytest.raises(FileError, match="pipe or device"):
            use(path)
    assert not os.path.isfile("/dev/null")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is forbidden to this user")
def test_what_is_forbidden_is_said(tmp_path):
    save_arrays(tmp_path / "a", ARRAYS, {})
    (tmp_path / "a").chmod(0)
    with pytest.raises(FileError, match="Permission denied"):
        load_arrays(tmp_path / "a")
    tmp_path.chmod(0o500)
    with pytest.raises(FileError, match="Permission denied"):
        save_arrays(tmp_path / "b", ARRAYS, {})
    tmp_path.chmod(0o700)


def test_a_refusal_of_the_system_becomes_a_sentence(tmp_path, monkeypatch):
    save_arrays(tmp_path / "a", ARRAYS, {})

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(FileError, match=r"cannot read .*Permission denied"):
        load_arrays(tmp_path / "a")
    with pytest.raises(FileError, match=r"cannot write .*Permission denied"):
        save_arrays(tmp_path / "b", ARRAYS, {})


@pytest.mark.parametrize("size", [+1000, -100])
def test_a_file_that_changes_while_it_is_read(size, tmp_path, monkeypatch):
    import chainrule.files

    path, real, sizes = tmp_path / "a", chainrule.files._check_readable, []
    save_arrays(path, ARRAYS, METADATA)

    def later(path, found, most):
        real(path, found, most)
        sizes.append(found.st_size)
        if len(sizes) == 2:  # it is open, and about to be read
            os.truncate(path, found.st_size + size)

    monkeypatch.setattr(chainrule.files, "_check_readable", later)
    if size > 0:  # read as far as it was
        assert load_arrays(path)[1] == METADATA
    else:
        with pytest.raises(FileError, match="cut short"):
            load_arrays(path)


def test_larger_than_allowed(tmp_path):
    save_arrays(tmp_path / "a", ARRAYS, {})
    with pytest.raises(FileError, match="at most 10 are read"):
        load_arrays(tmp_path / "a", max_bytes=10)


# ---------------------------------------------------------------- reading


def altered(path, change):
    """The file with its header changed; the checksum is over content, which stays."""
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header, block = json.loads(data[8 : 8 + size]), data[8 + size :]
    block = change(header, block) or block
    head = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + block)


def entry(name, key, value):
    def change(header, block):
        header[name][key] = value

    return change


DAMAGE = {
    "a later version": (entry("__metadata__", "version", "2"), "later release; upgrade"),
    "no version": (entry("__metadata__", "version", "x"), "does not say which version"),
    "another digit": (entry("__metadata__", "version", "²"), "does not say which version"),
    "endless digits": (entry("__metadata__", "version", "1" * 5000), "does not say which version"),
    "a list as version": (entry("__metadata__", "version", ["1"]), "does not say which version"),
    "another format": (entry("__metadata__", "format", "pt"), "not one that chainrule wrote"),
    "no description": (entry("__metadata__", "metadata", None), "altered or damaged"),
    "another description": (entry("__metadata__", "metadata", "{}"), "checksum"),
    "another checksum": (entry("__metadata__", "sha256", "0"), "checksum"),
    "another type": (entry("float64", "dtype", "I64"), "checksum"),
    "an unknown type": (entry("float64", "dtype", "F16"), "does not fit"),
    "a list as type": (entry("float64", "dtype", ["F64"]), "does not fit"),
    "a turned shape": (entry("float64", "shape", [3, 2]), "checksum"),
    "a negative side": (entry("float64", "shape", [-2, -3]), "does not fit"),
    "huge sides": (entry("float64", "shape", [2**40, 2**40]), "does not fit"),
    "a truth value as side": (entry("none", "shape", [False, 3]), "does not fit"),
    "many sides": (entry("float64", "shape", [1] * 40 + [6]), "does not fit"),
    "no shape": (entry("float64", "shape", None), "does not fit"),
    "three places": (entry("float64", "data_offsets", [0, 1, 2]), "does not fit"),
    "a place before": (entry("float64", "data_offsets", [-48, 0]), "does not fit"),
    "past the end": (entry("float64", "data_offsets", [10**3, 10**3 + 48]), "past its end"),
    "something more": (lambda header, block: block + b"x", "belong to no array"),
    "overlap": (lambda header, block: header.update(more=dict(header["float64"])), "overlap"),
    "a gap": (lambda header, block: header.pop("float64") and None, "overlap or leave a gap"),
}  # fmt: skip


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_named(what, tmp_path):
    save_arrays(tmp_path / "a", ARRAYS, METADATA)
    change, words = DAMAGE[what]
    altered(tmp_path / "a", change)
    with pytest.raises(FileError, match=words):
        load_arrays(tmp_path / "a")


def test_sides_whose_product_overflows(tmp_path):
    save_arrays(tmp_path / "a", {"none": np.zeros((0, 3)), "x": np.zeros(9)}, {})
    altered(tmp_path / "a", entry("none", "shape", [0, *[300] * 31]))
    with pytest.raises(FileError):
        load_arrays(tmp_path / "a")


def test_a_truth_value_that_is_neither(tmp_path):
    save_arrays(tmp_path / "a", {"b": np.array([True])}, {})
    data = (tmp_path / "a").read_bytes()
    (tmp_path / "a").write_bytes(data[:-1] + b"\x07")
    with pytest.raises(FileError, match="neither 0 nor 1"):
        load_arrays(tmp_path / "a")


@pytest.mark.parametrize(
    "data", [b"", b"x", b"\0" * 8, b"\xff" * 40, struct.pack("<Q", 2) + b"{}", struct.pack("<Q", 90) + b"{", struct.pack("<Q", 4) + b"[{}]",
             struct.pack("<Q", 200_000) + b'{"a":' + b"[" * 199_995, struct.pack("<Q", 17) + b'{"a": 1, "a": 2} ', struct.pack("<Q", 8) + b'{"a":\xff}'],
)  # fmt: skip
def test_bytes_that_are_no_file_of_ours(data, tmp_path):
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(FileError):
        load_arrays(tmp_path / "a")


# ---------------------------------------------------------------- killed

_WRITER = """
import sys, numpy as np
from chainrule.files import save_arrays
for k in range(1, 10**9):
    save_arrays(sys.argv[1], {"x": np.full(200_000, k)}, {"k": k})
    if k == 1: print("ready", flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no such signal here")
def test_killed_at_any_moment_a_file_is_old_or_new(tmp_path):
    rng, path, seen = np.random.default_rng(0), tmp_path / "a", set()
    for _ in range(20):
        with subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            time.sleep(rng.uniform(0, 0.2))
            process.kill()
        arrays, metadata = load_arrays(path)
        assert (arrays["x"] == metadata["k"]).all()
        seen.add(metadata["k"])
    assert len(seen) > 3
