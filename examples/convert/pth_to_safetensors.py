#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns the weights of a PyTorch file (.pth, .pt, .ckpt) into safetensors, with Python's standard library alone.

    pth_to_safetensors.py weights.pth weights.safetensors n_heads=2 hidden_act=gelu

Hyper-parameters that are given go into the metadata of the file, where `attune import` looks for them. Such a file is a
zip archive with a pickle in it, and a pickle can call any function. This one may only rebuild tensors: whatever else it
names is refused before it is looked for, so that nothing of the file runs.
"""

import array
import collections
import io
import json
import math
import pickle
import struct
import sys
import zipfile

# Storage class: element type of safetensors, bytes of an element there.
STORAGES = {
    "FloatStorage": ("F32", 4), "DoubleStorage": ("F64", 8), "HalfStorage": ("F16", 2), "BFloat16Storage": ("BF16", 2),
    "LongStorage": ("I64", 8), "IntStorage": ("I32", 4), "CharStorage": ("I8", 1), "ByteStorage": ("U8", 1),
    "BoolStorage": ("BOOL", 1),
}
STATE_DICTS = ("state_dict", "model_state_dict", "model")  # where training scripts put the weights
LARGEST_PICKLE = 64 << 20


class Refused(Exception):
    pass


class Tensor:
    """Bytes of a storage and how a tensor lies in them."""

    def __init__(self, storage, offset, shape, stride):
        self.dtype, self.width, self.data = storage
        self.shape, self.stride, self.offset = list(shape), list(stride), offset
        whole = [self.offset, *self.shape, *self.stride]
        if len(self.shape) != len(self.stride) or not all(isinstance(n, int) and n >= 0 for n in whole):
            raise Refused("a tensor with an impossible shape")
        last = offset + sum((n - 1) * s for n, s in zip(self.shape, self.stride)) if self.size() else 0
        if self.size() and (last + 1) * self.width > len(self.data):
            raise Refused("a tensor that is larger than its storage")
        if self.size() * self.width > len(self.data):
            raise Refused("a tensor that repeats its elements")

    def __setstate__(self, state):
        raise Refused("a tensor that is changed after it was made")

    def size(self):
        return math.prod(self.shape)

    def bytes(self):
        dense = [math.prod(self.shape[i + 1:]) for i in range(len(self.shape))]
        if not self.size() or all(n == 1 or s == d for n, s, d in zip(self.shape, self.stride, dense)):
            found = self.data[self.offset * self.width:(self.offset + self.size()) * self.width]
        else:
            found = b"".join(self._element(i, dense) for i in range(self.size()))
        if self.dtype != "F64":
            return found
        return array.array("f", array.array("d", found)).tobytes()  # attune reads no doubles

    def _element(self, index, dense):
        at = self.offset + sum(index // d % n * s for n, s, d in zip(self.shape, self.stride, dense))
        return self.data[at * self.width:(at + 1) * self.width]


def rebuild_tensor(storage, offset, shape, stride, *_):
    return Tensor(storage, offset, shape, stride)


def rebuild_parameter(data, *_):
    return data


ALLOWED = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch", "Size"): tuple,
    ("torch._utils", "_rebuild_tensor"): rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): rebuild_parameter,
    **{("torch", name): name for name in STORAGES},
}


class Unpickler(pickle.Unpickler):
    def __init__(self, archive, root):
        super().__init__(io.BytesIO(read(archive, root + "data.pkl", LARGEST_PICKLE)))
        self.archive, self.root, self.storages = archive, root, {}

    def find_class(self, module, name):
        if (module, name) in ALLOWED:
            return ALLOWED[module, name]
        raise Refused(
            f"it names {module}.{name}, which is code and no weights; nothing of it was run. Where it was trained, "
            "save the weights alone: torch.save(torch.load(FILE, map_location='cpu', weights_only=False)['state_dict'], "
            "'weights.pth')")

    def persistent_load(self, reference):
        kind, storage, key, _, elements = reference
        if kind != "storage" or storage not in STORAGES:
            raise Refused(f"expected the storage of a tensor, found {kind!r}")
        dtype, width = STORAGES[storage]
        if key not in self.storages:
            data = read(self.archive, f"{self.root}data/{key}")
            if len(data) != elements * width:
                raise Refused(f"storage {key}: expected {elements * width} bytes, found {len(data)}")
            self.storages[key] = (dtype, width, data)
        if self.storages[key][0] != dtype:
            raise Refused(f"storage {key}: two element types")
        return self.storages[key]


def read(archive, name, most=None):
    try:
        info = archive.getinfo(name)
    except KeyError:
        raise Refused(f"it has no {name}") from None
    if info.compress_type != zipfile.ZIP_STORED:
        raise Refused(f"{name} is compressed, which PyTorch does not do")
    if most is not None and info.file_size > most:
        raise Refused(f"{name}: expected at most {most} bytes, found {info.file_size}")
    return archive.read(info)


def load(path):
    """The object that torch.save() wrote, with Tensor in place of tensors."""
    if not zipfile.is_zipfile(path):
        raise Refused("expected the zip archive that torch.save() writes since PyTorch 1.6, found another format; "
                      "load it there and save it again")
    with zipfile.ZipFile(path) as archive:
        pickles = [name for name in archive.namelist() if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(pickles) != 1:
            raise Refused(f"expected one data.pkl, found {len(pickles)}")
        root = pickles[0][:-len("data.pkl")]
        if any(name.startswith(root + "code/") for name in archive.namelist()):
            raise Refused("it is a TorchScript program; save the state_dict of the model instead")
        if root + "byteorder" in archive.namelist() and read(archive, root + "byteorder", 16) != b"little":
            raise Refused("expected numbers with the lowest byte first")
        return Unpickler(archive, root).load()


def weights_in(loaded):
    """Names and tensors, wherever a training script has put them."""
    for key in STATE_DICTS:
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
            break
    if not isinstance(loaded, dict) or not any(isinstance(value, Tensor) for value in loaded.values()):
        raise Refused(f"expected a dictionary of tensors, or one of them under {', '.join(STATE_DICTS)}")
    for name, value in loaded.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise Refused(f"{name!r}: expected a tensor, found {type(value).__name__}")
    return loaded


def safetensors(weights, metadata):
    header, parts, end = {"__metadata__": metadata} if metadata else {}, [], 0
    for name, tensor in weights.items():
        data = tensor.bytes()
        dtype = "F32" if tensor.dtype == "F64" else tensor.dtype
        header[name] = {"dtype": dtype, "shape": tensor.shape, "data_offsets": [end, end + len(data)]}
        parts.append(data)
        end += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([struct.pack("<Q", len(text)), text, *parts])


def main(arguments):
    settings = [argument.split("=", 1) for argument in arguments[2:]]
    if len(arguments) < 2 or any(len(setting) != 2 for setting in settings):
        print("usage: pth_to_safetensors.py FILE.pth FILE.safetensors [NAME=VALUE ...]", file=sys.stderr)
        return 2
    try:
        data = safetensors(weights_in(load(arguments[0])), dict(settings))
        with open(arguments[1], "wb") as output:
            output.write(data)
    except Exception as error:  # a damaged file can make the unpickler raise anything
        print(f"{arguments[0]}: {error or type(error).__name__}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
