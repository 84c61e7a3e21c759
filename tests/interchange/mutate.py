"""Damaged and forged model files from a seed: some with a wrong checksum, most with a right one."""

from __future__ import annotations

import copy
import hashlib
import json
import struct

import numpy as np

NAMES = {"F32": "<f4", "F64": "<f8", "I64": "<i8", "I32": "<i4", "I16": "<i2", "U32": "<u4", "BOOL": "?"}
# What a value is replaced with: other types, huge, negative, half-right.
ODD = [
    None, True, False, 0, -1, 1, 2, 3, 7, 2**31, 2**63, 10**30, -(2**70), 0.5, -0.0, 1e308, "", "x", "nan", "inf",
    "Network", "MLPClassifier", "TableRegressor", "relu", "softmax", "binary", "multiclass", "category", "date", "loss_",
    "\u0000", "ü" * 300, "network_.A_1", "__class__", "fit", "predict", "network_", "a\nimport os", [], {}, [[]], [None],
    {"kind": "tuple", "items": []}, {"kind": "number", "value": "nan"}, {"kind": "dict", "items": []},
    {"kind": "text", "shape": [1], "letters": 10**9, "items": ["a"]}, {"kind": "scalar", "dtype": "int8", "value": 300},
    {"kind": "array", "array": "network_.A_1"}, {"kind": "no", "x": 1}, {"kind": "objects", "shape": [0], "items": []},
    {"kind": "function", "formula": {"name": "f", "inputs": ["z"], "steps": [["exp", [0], {}]], "output": 1, "rowwise": False}},
]  # fmt: skip


def parts(data):
    """(header without our own words, metadata text, block) of a whole file."""
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    own = header.pop("__metadata__")
    return header, json.loads(own["metadata"]), data[8 + size :]


def whole(header, text, block, version="1"):
    """A file with the right checksum over whatever is in it (where one can be computed)."""
    found = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
    for name in sorted(header):
        try:
            entry = header[name]
            low, high = entry["data_offsets"]
            dtype = np.dtype(NAMES[entry["dtype"]])
            found.update(f"\0{name}\0{dtype}\0{tuple(entry['shape'])}\0".encode())
            found.update(block[low:high])
        except (KeyError, TypeError, ValueError):
            continue
    own = {"format": "chainrule", "version": version, "metadata": text, "sha256": found.hexdigest()}
    head = json.dumps({"__metadata__": own, **header}).encode()
    return struct.pack("<Q", len(head)) + head + block


def places(value, at=()):
    """Every place within JSON."""
    found, waiting = [], [(at, value)]
    while waiting and len(found) < 20_000:
        at, value = waiting.pop()
        found.append(at)
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        waiting += [((*at, key), item) for key, item in items]
    return found


def parent(value, at):
    for key in at[:-1]:
        value = value[key]
    return value


class Mutator:
    """Draws mutations of whole files from a seed."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def pick(self, options):
        return options[int(self.rng.integers(len(options)))]

    def __call__(self, data):
        return self.pick([self.bytes, self.cut, self.entries, *[self.json] * 6, self.block, self.text])(data)

    def bytes(self, data):
        """Some bits or bytes of the file."""
        found = bytearray(data)
        for _ in range(self.pick([1, 1, 3, 20])):
            found[int(self.rng.integers(len(found)))] ^= 1 << int(self.rng.integers(8))
        return bytes(found)

    def cut(self, data):
        """Too short, too long, or a piece missing within."""
        a, b = sorted(self.rng.integers(0, len(data), 2).tolist())
        return self.pick([data[:a], data[:a] + data[b:], data + data[a:b], data[a:], data[:8] + data[a:]])

    def block(self, data):
        """Other numbers, NaN among them, with the right checksum."""
        header, metadata, block = parts(data)
        found = bytearray(block)
        for _ in range(self.pick([1, 8])):
            at = int(self.rng.integers(len(found)))
            found[at : at + 8] = self.pick([b"\xff" * 8, b"\0" * 8, struct.pack("<d", 1e300), struct.pack("<q", -5)])
        return whole(header, json.dumps(metadata), bytes(found[: len(block)]))

    def entries(self, data):
        """Names, types, shapes and places of arrays."""
        header, metadata, block = parts(data)
        a, b = self.pick(list(header)), self.pick(list(header))
        entry = header[a]
        what = self.pick(["swap", "drop", "dtype", "shape", "place", "odd", "copy", "turn", "name"])
        if what == "swap":
            header[a], header[b] = header[b], header[a]
        elif what == "drop":
            del header[a]
        elif what == "dtype":
            entry["dtype"] = self.pick(["F64", "F32", "I64", "I32", "BOOL", "U8", "F16", "X", None, 3])
        elif what == "shape":
            entry["shape"] = self.pick(
                [[2**62, 2**62], [-1], [0], [], [1] * 40, "ab", None, [0.5], [2**31, 0, 2**40], [True]]
            )
        elif what == "place":
            entry["data_offsets"] = self.pick(
                [[0, len(block)], [0], [-8, 0], [len(block), len(block)], ["a", "b"], None]
            )
        elif what == "odd":
            header[a] = self.pick(ODD)
        elif what == "copy":
            header["copy"] = copy.deepcopy(entry)
        elif what == "turn" and isinstance(entry["shape"], list):
            entry["shape"] = entry["shape"][::-1] if len(entry["shape"]) > 1 else [*entry["shape"], 1]
        else:
            header[self.pick(["", "ü", "w", "x" * 5000, "network_.A_9"])] = header.pop(a)
        return whole(header, json.dumps(metadata), block, self.pick(["1"] * 8 + ["2", "²", "-1", "9" * 5000, ""]))

    def json(self, data):
        """Values of the description, under the right checksum."""
        header, metadata, block = parts(data)
        for _ in range(self.pick([1, 1, 1, 2, 5])):
            every = places(metadata)[1:]
            if not every:
                break
            at = self.pick(every)
            self._change(parent(metadata, at), at[-1], every, metadata)
        try:
            return whole(header, json.dumps(metadata), block)
        except RecursionError:  # nested deeper than Python writes
            return self.cut(data)

    def _change(self, holder, key, every, metadata):
        what = self.pick(["odd", "odd", "odd", "drop", "near", "near", "other", "rename", "nest", "twice"])
        value = holder[key]
        if what == "drop":
            del holder[key]
        elif what == "near" and isinstance(value, int | float) and not isinstance(value, bool):
            holder[key] = self.pick([value + 1, value - 1, -value, value * 1e9, float(value), value * 10**9])
        elif what == "near" and isinstance(value, str):
            holder[key] = self.pick([value + "x", value[:-1], value.upper(), value * 50])
        elif what == "near" and isinstance(value, list):
            holder[key] = self.pick([value * 2, value[::-1], value[1:], [value]])
        elif what == "other":
            at = self.pick(every)
            try:
                holder[key] = copy.deepcopy(parent(metadata, at)[at[-1]])
            except (KeyError, IndexError, TypeError):
                holder[key] = None
        elif what == "rename" and isinstance(holder, dict):
            holder[self.pick(["kind", "items", "extra_", "classes_", "t_", "x", "coefs_", "_descent", "__dict__"])] = (
                holder.pop(key)
            )
        elif what == "nest":
            deep = value
            for _ in range(self.pick([3, 90, 300])):
                deep = self.pick([[deep], {"kind": "tuple", "items": [deep]}])
            holder[key] = deep
        elif what == "twice" and isinstance(holder, list):
            holder.append(copy.deepcopy(value))
        else:
            holder[key] = copy.deepcopy(self.pick(ODD))

    def text(self, data):
        """Descriptions that are no strict JSON, under the right checksum."""
        header, metadata, block = parts(data)
        text = json.dumps(metadata)
        at = int(self.rng.integers(len(text)))
        odd = self.pick(
            ["NaN", "1e999", "[" * 100_000, '{"a":1,"a":2}', "9" * 5000, "\\ud800", '"\\ud800"', "-Infinity", ",", "}"]
        )
        return whole(header, self.pick([odd, text[:at] + odd + text[at:], text[:at], text.replace("null", odd)]), block)
