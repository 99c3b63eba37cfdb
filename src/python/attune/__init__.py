# SPDX-License-Identifier: Apache-2.0
"""Real-time recommendation: train a model, open it, tell it what happens, ask what to show.

Ids are texts or integers. Times are milliseconds since 1970 or datetimes (those without a time zone are UTC). Arrays of
numbers are NumPy's where NumPy is there, else lists. Any number of threads may use a Recommender; the interpreter is
free while the library works.
"""

from __future__ import annotations

import ctypes

from attune._library import Error, library
from attune._learning import evaluate, train
from attune._recommender import Answer, Recommender

__all__ = ["Answer", "Error", "Recommender", "evaluate", "simd_level", "train"]
__version__: str = library.attune_version().decode()


def simd_level() -> str:
    """The instruction-set level in use: "avx2", ..."""
    level = ctypes.c_char_p()
    library.attune_simd_level(ctypes.byref(level))
    assert level.value is not None
    return level.value.decode()
