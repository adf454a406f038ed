"""Attention of one query per row over the keys and values kept of it: as fast as memory gives them.

Every key is read once, in the order in which it lies, and meets the query in registers: the products of WIDTH
keys are added up crosswise, so that their sums come out as one vector.
"""

from __future__ import annotations

import numba
import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.core import cgutils

from .exponentials import LOG2_E, NO_NAN, largest, power_of_two, sum_of
from .parts import in_parts
from .tile import intrinsic

WIDTH = 8
"""Numbers per vector: the size of a head is a multiple of it, and wider ones would wait for memory."""

CHAINS = 4
"""Sums of values that run side by side, as each addition waits for the one before."""

_VECTOR = ir.VectorType(ir.FloatType(), WIDTH)
_COUNT, _NUMBER = ir.IntType(64), ir.IntType(32)


def decoding_attention(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, starts: np.ndarray, seen: int, scale: float
) -> torch.Tensor:
    """softmax(scale q k^T) v over the columns ``starts[row]`` to ``seen`` of each row.

    Args:
        query: (R, H, d) float32, d a multiple of ``WIDTH``.
        keys, values: (R, G, columns, d) float32, contiguous, G a divisor of H, at least ``WIDTH`` columns.
        starts: (R,) int64.

    Returns:
        (R, H, d) float32.
    """
    query = query.contiguous()
    out = torch.empty_like(query)
    arrays = query.numpy(), keys.numpy(), values.numpy(), starts
    in_parts(_attend, (*arrays, seen, np.float32(scale), out.numpy()), len(query), 8)
    return out


def can_decode(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> bool:
    """Whether :func:`decoding_attention` takes these: query (R, H, T, d), keys and values as there."""
    _, heads, length, size = query.shape
    shapes = keys.shape == values.shape and heads % keys.shape[1] == 0 and keys.shape[2] >= WIDTH
    return shapes and length == 1 and size % WIDTH == 0 and query.dtype == keys.dtype == torch.float32


def _vectors(builder, array, at):
    return builder.bitcast(builder.gep(array, [at]), _VECTOR.as_pointer())


def _data(context, builder, signature, arguments, *places):
    return [context.make_array(signature.args[i])(context, builder, arguments[i]).data for i in places]


def _multiply_add(builder):
    signature = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    return cgutils.get_or_insert_function(builder.module, signature, f"llvm.fma.v{WIDTH}f32")


@intrinsic
def _dots(typing, keys, at, size, query, line, out, to):
    """out[to + j] = sum over c < size of keys[at + j size + c] query[line + c], for j < WIDTH."""

    def code(context, builder, signature, arguments):
        keys, query, out = _data(context, builder, signature, arguments, 0, 3, 5)
        at, size, line, to = (arguments[i] for i in (1, 2, 4, 6))
        multiply_add, zero = _multiply_add(builder), ir.Constant(_VECTOR, None)
        sums = [cgutils.alloca_once_value(builder, zero) for _ in range(WIDTH)]
        for total in sums:
            builder.store(zero, total)
        with cgutils.for_range(builder, builder.udiv(size, _COUNT(WIDTH))) as loop:
            chunk = builder.mul(loop.index, _COUNT(WIDTH))
            factor = builder.load(_vectors(builder, query, builder.add(line, chunk)), align=4)
            for j, total in enumerate(sums):
                start = builder.add(at, builder.add(builder.mul(size, _COUNT(j)), chunk))
                key = builder.load(_vectors(builder, keys, start), align=4)
                builder.store(builder.call(multiply_add, [key, factor, builder.load(total)]), total)
        pairs = ir.VectorType(_NUMBER, WIDTH)
        evens, odds = (ir.Constant(pairs, list(range(first, 2 * WIDTH, 2))) for first in (0, 1))
        found = [builder.load(total) for total in sums]
        while len(found) > 1:  # Neighbours within two vectors are added up: half as many vectors remain.
            found = [
                builder.fadd(builder.shuffle_vector(a, b, evens), builder.shuffle_vector(a, b, odds))
                for a, b in zip(found[::2], found[1::2], strict=True)
            ]
        builder.store(found[0], _vectors(builder, out, to), align=4)
        return context.get_dummy_value()

    whole = types.int64
    return types.void(keys, whole, whole, query, whole, out, whole), code


@intrinsic
def _mix(typing, values, at, size, weights, count, out, to):
    """out[to + c] = sum over j < count of weights[j] values[at + j size + c], for c < WIDTH."""

    def code(context, builder, signature, arguments):
        values, weights, out = _data(context, builder, signature, arguments, 0, 3, 5)
        at, size, count, to = (arguments[i] for i in (1, 2, 4, 6))
        multiply_add, undefined = _multiply_add(builder), ir.Constant(_VECTOR, ir.Undefined)
        zero, everywhere = ir.Constant(_VECTOR, None), ir.Constant(ir.VectorType(_NUMBER, WIDTH), [0] * WIDTH)
        sums = [cgutils.alloca_once_value(builder, zero) for _ in range(CHAINS)]
        for total in sums:
            builder.store(zero, total)

        def add(j, total):
            single = builder.insert_element(undefined, builder.load(builder.gep(weights, [j])), _NUMBER(0))
            factor = builder.shuffle_vector(single, undefined, everywhere)
            start = builder.add(at, builder.mul(size, j))
            value = builder.load(_vectors(builder, values, start), align=4)
            builder.store(builder.call(multiply_add, [value, factor, builder.load(total)]), total)

        rounds = builder.udiv(count, _COUNT(CHAINS))
        with cgutils.for_range(builder, rounds) as loop:
            for chain, total in enumerate(sums):
                add(builder.add(builder.mul(loop.index, _COUNT(CHAINS)), _COUNT(chain)), total)
        with cgutils.for_range(builder, builder.urem(count, _COUNT(CHAINS))) as loop:
            add(builder.add(builder.mul(rounds, _COUNT(CHAINS)), loop.index), sums[0])
        found = [builder.load(total) for total in sums]
        while len(found) > 1:
            found = [builder.fadd(a, b) for a, b in zip(found[::2], found[1::2], strict=True)]
        builder.store(found[0], _vectors(builder, out, to), align=4)
        return context.get_dummy_value()

    whole = types.int64
    return types.void(values, whole, whole, weights, whole, out, whole), code


@numba.njit(fastmath=NO_NAN, nogil=True)
def _weigh(scores, keys, factor):
    """Scores to weights that add up to 1."""
    top = largest(scores, keys)
    for j in range(keys):
        scores[j] = power_of_two((scores[j] - top) * factor)
    share = np.float32(1) / sum_of(scores, keys)
    for j in range(keys):
        scores[j] *= share


@numba.njit(cache=True, nogil=True)
def _attend(query, keys, values, starts, seen, scale, out, first, last):
    _, heads, size = query.shape
    groups, columns = keys.shape[1:3]
    sharing = heads // groups
    scores = np.empty(columns + 2 * WIDTH, np.float32)
    weights = scores[WIDTH:]
    for row in range(first, last):
        start = starts[row]
        count = seen - start
        for h in range(heads):
            head = (row * heads + h) * size
            block = ((row * groups + h // sharing) * columns) * size
            for j in range(0, count, WIDTH):
                place = min(j, columns - WIDTH - start)  # not past the end: some sums are written twice
                _dots(keys, block + (start + place) * size, size, query, head, scores, WIDTH + place)
            _weigh(weights, count, scale * LOG2_E)
            for c in range(0, size, WIDTH):
                _mix(values, block + start * size + c, size, weights, count, out, head + c)
