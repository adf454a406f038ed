"""The one inner loop: a tile of sums that stays in registers while products are added to it.

Written in the compiler's own language, since a loop in Python's does not keep sums in registers. It runs at
the rate at which the processor multiplies and adds; :mod:`.product` and :mod:`.attention` arrange for that.

Compiled code is kept beside the file of the kernel that Python calls, and made anew when that file changes:
after a change here or in :mod:`.exponentials`, delete ``__pycache__/*.nbi``.
"""

from __future__ import annotations

from typing import Any

from llvmlite import binding, ir
from numba import extending, types
from numba.core import cgutils

intrinsic: Any = extending.intrinsic  # as annotated there, a call would need the typing context too

_FEATURES = binding.get_host_cpu_features()

# Numbers per register, registers per row, rows: the sums, one row of the right side and one factor of the
# left must fit into 32 registers of 512 bits, 16 of 256 (AVX2) or 32 of 128 (Arm).
VECTOR, VECTORS = (16, 4) if _FEATURES.get("avx512f") else (8, 3) if _FEATURES.get("avx2") else (4, 4)
WIDE = VECTOR > 4
ROWS = 4
LANES = VECTOR * VECTORS


@intrinsic
def add_tile(typing, left, at, row, step, rows, right, line, out, to, stride, depth, add):
    """out[to + r stride + i] (+)= sum over k < depth of left[at + r row + k step] right[line + k LANES + i].

    For r < ROWS and i < LANES, in float32; the arrays are contiguous and taken as flat, indices are not
    checked. With ``add`` to what is there, without in its place. Rows of ``left`` from ``rows`` on repeat the
    last: those of ``out`` are written all the same.
    """
    vector = ir.VectorType(ir.FloatType(), VECTOR)
    count, number = ir.IntType(64), ir.IntType(32)
    undefined = ir.Constant(vector, ir.Undefined)
    everywhere = ir.Constant(ir.VectorType(number, VECTOR), [0] * VECTOR)
    tile = [(r, v) for r in range(ROWS) for v in range(VECTORS)]

    def code(context, builder, signature, arguments):
        at, row, step, rows, line, to, stride, depth, add = (
            arguments[i] for i in (1, 2, 3, 4, 6, 8, 9, 10, 11)
        )
        left, right, out = (
            context.make_array(signature.args[i])(context, builder, arguments[i]).data for i in (0, 5, 7)
        )
        multiply_add = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.v{VECTOR}f32"
        )

        def vectors(array, start, v):
            place = builder.gep(array, [builder.add(start, count(v * VECTOR))])
            return builder.bitcast(place, vector.as_pointer())

        zero = ir.Constant(vector, None)
        sums = {cell: cgutils.alloca_once_value(builder, zero) for cell in tile}
        for cell in tile:
            builder.store(zero, sums[cell])
        last = builder.sub(rows, count(1))
        starts = []
        for r in range(ROWS):
            inside = builder.icmp_signed("<", count(r), last)
            starts.append(builder.add(at, builder.mul(row, builder.select(inside, count(r), last))))
        with cgutils.for_range(builder, depth) as loop:
            start = builder.add(line, builder.mul(loop.index, count(LANES)))
            lanes = [builder.load(vectors(right, start, v), align=4) for v in range(VECTORS)]
            along = builder.mul(loop.index, step)
            for r in range(ROWS):
                factor = builder.load(builder.gep(left, [builder.add(starts[r], along)]))
                single = builder.insert_element(undefined, factor, number(0))
                factors = builder.shuffle_vector(single, undefined, everywhere)
                for v in range(VECTORS):
                    product = builder.call(multiply_add, [factors, lanes[v], builder.load(sums[r, v])])
                    builder.store(product, sums[r, v])
        with builder.if_then(add):
            for r, v in tile:
                place = vectors(out, builder.add(to, builder.mul(stride, count(r))), v)
                builder.store(
                    builder.fadd(builder.load(place, align=4), builder.load(sums[r, v])), sums[r, v]
                )
        for r, v in tile:
            place = vectors(out, builder.add(to, builder.mul(stride, count(r))), v)
            builder.store(builder.load(sums[r, v]), place, align=4)
        return context.get_dummy_value()

    whole = types.int64
    arguments = (left, whole, whole, whole, whole, right, whole, out, whole, whole, whole, types.boolean)
    return types.void(*arguments), code
