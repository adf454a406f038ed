"""What softmaxes are made of: powers, the largest, the sum."""

from __future__ import annotations

import math

import numba
import numpy as np
from llvmlite import ir
from numba import types

from .tile import intrinsic

LOG2_E = np.float32(1 / math.log(2))
"""exp(x) is 2^(x LOG2_E)."""

NO_NAN = {"contract", "nnan", "nsz"}
"""What a compiler may do around :func:`power_of_two`. Were sums reordered, it would cancel the rounding."""

_ONE = np.float32(1)
_ROUNDING = np.float32(1.5 * 2**23)  # added and taken off, it leaves a whole number
_T1, _T2, _T3, _T4, _T5, _T6, _T7 = (np.float32(math.log(2) ** k / math.factorial(k)) for k in range(1, 8))


@intrinsic
def _float_of(typing, bits):
    """The float32 that has these 32 bits."""

    def code(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), code


@numba.njit(inline="always")
def power_of_two(x):
    """2^x within 2e-7 of its value, for x from -126 to 126; what lies outside is brought to that."""
    x = min(max(x, np.float32(-126)), np.float32(126))
    whole = (x + _ROUNDING) - _ROUNDING
    f = x - whole
    part = _ONE + f * (_T1 + f * (_T2 + f * (_T3 + f * (_T4 + f * (_T5 + f * (_T6 + f * _T7))))))
    return part * _float_of((np.int32(whole) + np.int32(127)) << np.int32(23))


@numba.njit(nogil=True)
def largest(scores, keys):
    a = b = c = d = scores[0]
    for j in range(0, keys - 3, 4):
        a = scores[j] if scores[j] > a else a
        b = scores[j + 1] if scores[j + 1] > b else b
        c = scores[j + 2] if scores[j + 2] > c else c
        d = scores[j + 3] if scores[j + 3] > d else d
    for j in range(keys - keys % 4, keys):
        a = scores[j] if scores[j] > a else a
    return max(max(a, b), max(c, d))


@numba.njit(fastmath={"reassoc"}, nogil=True)
def sum_of(scores, keys):
    found = np.float32(0)
    for j in range(keys):
        found += scores[j]
    return found
