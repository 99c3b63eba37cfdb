# SPDX-License-Identifier: Apache-2.0
"""The converter of .pth files, with archives made here as torch.save() makes them: zip and pickle, without PyTorch."""

import collections
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import tempfile
import types
import unittest
import zipfile

SCRIPT = sys.argv.pop()


class Storage:
    def __init__(self, kind, key, data, elements):
        self.kind, self.key, self.data, self.elements = kind, key, data, elements


class Rebuilt:
    """Pickled as a call of a function of torch._utils."""

    def __init__(self, name, *arguments):
        self.name, self.arguments = name, arguments

    def __reduce__(self):
        return getattr(sys.modules["torch._utils"], self.name), self.arguments


class Changed(Rebuilt):
    def __init__(self, state, *arguments):
        super().__init__(*arguments)
        self.state = state

    def __reduce__(self):
        return *super().__reduce__(), self.state


def named(module, name):
    function = types.FunctionType((lambda *_: None).__code__, {}, name)
    function.__module__, function.__qualname__ = module, name
    setattr(sys.modules.setdefault(module, types.ModuleType(module)), name, function)
    return function


named("torch._utils", "_rebuild_tensor_v2")
named("torch._utils", "_rebuild_parameter")
named("torch._utils", "_rebuild_qtensor")
sys.modules["torch"] = types.ModuleType("torch")
for storage in ("FloatStorage", "DoubleStorage", "LongStorage", "BoolStorage", "ComplexFloatStorage"):
    setattr(sys.modules["torch"], storage, type(storage, (), {"__module__": "torch"}))


class Pickler(pickle.Pickler):
    def persistent_id(self, thing):
        if isinstance(thing, Storage):
            return "storage", getattr(sys.modules["torch"], thing.kind), thing.key, "cpu", thing.elements
        return None


def tensor(kind, key, data, elements, offset, shape, stride):
    return Rebuilt("_rebuild_tensor_v2", Storage(kind, key, data, elements), offset, shape, stride, False,
                   collections.OrderedDict())


def floats(*values):
    return struct.pack(f"<{len(values)}f", *values)


WEIGHTS = collections.OrderedDict(
    whole=tensor("FloatStorage", "0", floats(1, 2, 3, 4, 5, 6), 6, 0, (2, 3), (3, 1)),
    part=tensor("FloatStorage", "0", floats(1, 2, 3, 4, 5, 6), 6, 3, (3,), (1,)),
    turned=tensor("FloatStorage", "0", floats(1, 2, 3, 4, 5, 6), 6, 0, (3, 2), (1, 3)),
    scalar=tensor("LongStorage", "1", struct.pack("<q", -7), 1, 0, (), ()),
    double=tensor("DoubleStorage", "2", struct.pack("<2d", 0.5, -2), 2, 0, (2,), (1,)),
    mask=tensor("BoolStorage", "3", b"\x01\x00", 2, 0, (2,), (1,)),
)
BYTES = {"0": floats(1, 2, 3, 4, 5, 6), "1": struct.pack("<q", -7), "2": struct.pack("<2d", 0.5, -2), "3": b"\x01\x00"}


class ConverterTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.pth, self.out = os.path.join(folder.name, "m.pth"), os.path.join(folder.name, "m.safetensors")
        self.trace = os.path.join(folder.name, "trace")

    def save(self, thing, data=None, compression=zipfile.ZIP_STORED, more=None):
        pickled = io.BytesIO()
        if isinstance(thing, bytes):
            pickled.write(thing)
        else:
            Pickler(pickled, 2).dump(thing)
        with zipfile.ZipFile(self.pth, "w", compression) as archive:
            archive.writestr("m/data.pkl", pickled.getvalue())
            for key, content in (BYTES if data is None else data).items():
                archive.writestr(f"m/data/{key}", content)
            for name, content in (more or {}).items():
                archive.writestr(name, content)

    def run_script(self, *settings):
        return subprocess.run([sys.executable, SCRIPT, self.pth, self.out, *settings], capture_output=True, text=True)

    def refused(self, *words):
        run = self.run_script()
        self.assertEqual(run.returncode, 1, run.stderr)
        self.assertEqual(run.stderr.count("\n"), 1)
        for word in words:
            self.assertIn(word, run.stderr)
        self.assertFalse(os.path.exists(self.out))
        self.assertFalse(os.path.exists(self.trace))

    def converted(self, *settings):
        run = self.run_script(*settings)
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        with open(self.out, "rb") as file:
            content = file.read()
        end = 8 + struct.unpack("<Q", content[:8])[0]
        header = json.loads(content[8:end])
        return header, lambda name: content[end + header[name]["data_offsets"][0]:end + header[name]["data_offsets"][1]]

    def test_weights_come_out_as_they_lie(self):
        self.save(WEIGHTS)
        header, data = self.converted("n_heads=2", "about=a = b")
        self.assertEqual(header["__metadata__"], {"n_heads": "2", "about": "a = b"})
        self.assertEqual([name for name in header if name != "__metadata__"], list(WEIGHTS))
        self.assertEqual((header["whole"]["dtype"], header["whole"]["shape"]), ("F32", [2, 3]))
        self.assertEqual(data("whole"), floats(1, 2, 3, 4, 5, 6))
        self.assertEqual(data("part"), floats(4, 5, 6))
        self.assertEqual(data("turned"), floats(1, 4, 2, 5, 3, 6))
        self.assertEqual((header["scalar"]["shape"], data("scalar")), ([], struct.pack("<q", -7)))
        self.assertEqual((header["double"]["dtype"], data("double")), ("F32", floats(0.5, -2)))
        self.assertEqual((header["mask"]["dtype"], data("mask")), ("BOOL", b"\x01\x00"))

    def test_weights_are_found_where_training_scripts_put_them(self):
        parameter = Rebuilt("_rebuild_parameter", WEIGHTS["part"], True, collections.OrderedDict())
        for key in ("state_dict", "model_state_dict", "model"):
            self.save({"epoch": 3, key: {"weight": parameter}, "optimizer": {"lr": 0.1}})
            _, data = self.converted()
            self.assertEqual(data("weight"), floats(4, 5, 6))

    def test_code_is_refused_and_does_not_run(self):
        class Command:
            def __reduce__(inner):
                return os.system, (f"touch {self.trace}",)

        self.save({"state_dict": WEIGHTS, "config": Command()})
        self.refused("posix.system", "nothing of it was run")
        self.save(b"cbuiltins\neval\n(S'open(\"" + self.trace.encode() + b"\", \"w\")'\ntR.")
        self.refused("builtins.eval")
        self.save(b"(S'touch " + self.trace.encode() + b"'\nios\nsystem\n.")
        self.refused("os.system")
        self.save(b"ctorch._utils\n__builtins__\n.")
        self.refused("torch._utils.__builtins__")
        self.save({"weight": Rebuilt("_rebuild_qtensor", 1)})
        self.refused("torch._utils._rebuild_qtensor")

    def test_what_is_no_such_archive_is_refused(self):
        with open(self.pth, "wb") as file:
            file.write(pickle.dumps({"weight": 1}))
        self.refused("since PyTorch 1.6")
        self.save(WEIGHTS, more={"m/code/__torch__.py": "pass"})
        self.refused("TorchScript")
        self.save(WEIGHTS, more={"m/byteorder": "big"})
        self.refused("lowest byte first")
        self.save(WEIGHTS, more={"n/data.pkl": "again"})
        self.refused("expected one data.pkl, found 2")
        self.save(WEIGHTS, compression=zipfile.ZIP_DEFLATED)
        self.refused("is compressed")

    def test_damaged_archives_are_refused(self):
        self.save(WEIGHTS, data={"0": BYTES["0"]})
        self.refused("it has no m/data/1")
        self.save(WEIGHTS, data={**BYTES, "0": BYTES["0"][:-4]})
        self.refused("storage 0: expected 24 bytes, found 20")
        self.save({"weight": tensor("FloatStorage", "0", b"", 6, 1, (2, 3), (3, 1))})
        self.refused("larger than its storage")
        self.save({"weight": tensor("FloatStorage", "0", b"", 6, 0, (1 << 40,), (0,))})
        self.refused("repeats its elements")
        self.save({"weight": tensor("FloatStorage", "0", b"", 6, 0, (-1,), (1,))})
        self.refused("impossible shape")
        storage = Storage("FloatStorage", "0", b"", 6)
        self.save({"weight": Changed({"shape": [2, 50000000]}, "_rebuild_tensor_v2", storage, 0, (2, 3), (3, 1))})
        self.refused("changed after it was made")
        self.save({"weight": tensor("ComplexFloatStorage", "0", b"", 3, 0, (3,), (1,))})
        self.refused("torch.ComplexFloatStorage")
        self.save(b"\x80\x02}q\x00(X\x01")
        self.refused("m.pth: ")

    def test_what_holds_no_weights_is_refused(self):
        self.save({"epoch": 3})
        self.refused("expected a dictionary of tensors")
        self.save({"weight": WEIGHTS["whole"], "epoch": 3})
        self.refused("'epoch': expected a tensor, found int")

    def test_wrong_usage_is_told(self):
        self.assertEqual(subprocess.run([sys.executable, SCRIPT], capture_output=True).returncode, 2)
        self.save(WEIGHTS)
        self.assertEqual(self.run_script("no value").returncode, 2)


if __name__ == "__main__":
    unittest.main()
