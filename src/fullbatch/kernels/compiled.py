"""What compiled code shares: how it is compiled and for what, and exponentials and logarithms.

Those are polynomials, which the compiler vectorises and which give the same bits whichever mathematical library there
is.
"""

# Arguments of functions that only compiled code calls go untyped: the compiler infers them.
# ruff: noqa: ANN001, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

import math
from typing import Any

import numpy as np
from numba import njit
from numba.core import types
from numba.core.registry import cpu_target
from numba.extending import intrinsic

# Sums may be reordered and contracted, but infinities and NaNs keep their meaning: a bad trial point must be seen.
FASTMATH = {"reassoc", "contract", "nsz", "arcp"}
# The polynomials' roundings are meant as written: `(x + big) - big` must not become x.
AS_WRITTEN = {"contract"}
# Division follows IEEE 754: a check for zero is an exit from the loop, which then does not vectorise.
COMPILED: dict[str, Any] = {"fastmath": FASTMATH, "error_model": "numpy", "nogil": True}
# Of functions that only compiled code calls: what lets others call them takes a quarter of the time to compile. Inside
# their callers they count fewer references to arrays.
INSIDE = COMPILED | {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "forceinline": True}
as_written = njit(**INSIDE | {"fastmath": AS_WRITTEN})
inlined = njit(**INSIDE)


def compile_target() -> tuple[str, str]:
    """Name and features of this machine's processor, by the compiler: code for another one may round differently."""
    _, name, features = cpu_target.target_context.codegen().magic_tuple()
    return name, features


# Vectors are as long as the processor has them: how sums round depends on it, and so do the bits of a fit, which are
# the same on processors of one kind only.
VECTOR_BYTES = 64 if "+avx512f" in compile_target()[1].split(",") else 32


@intrinsic
def whole_vectors(typing: Any) -> Any:
    """Loops of the function that calls this, which the compiler makes vectors of itself, have vectors of
    `VECTOR_BYTES`.
    """

    def generate(context, builder, signature, values):
        # Unless told, the compiler takes half of them on many processors. `add` of attributes refuses any with a value.
        set.add(builder.function.attributes, f'"prefer-vector-width"="{8 * VECTOR_BYTES}"')
        return context.get_dummy_value()

    return types.void(), generate


_LOG2_E = 1.4426950408889634
_LN2 = 0.6931471805599453
_LN2_HIGH = 6.93147180369123816490e-01  # its last bits are zero: an integer below 2**20 times it is exact
_LN2_LOW = 1.90821492927058770002e-10
# Adding 1.5 * 2**52 rounds a number to an integer and leaves that integer in the lowest bits of the sum.
_ROUND = 6755399441055744.0
# Polynomials through Chebyshev's points, computed in 60 digits: exp(x) = 1 + x + x**2 EXP(x) for |x| up to log(2) / 2
# (error 2e-17), and atanh(s) = s + s**3 ATANH(s**2) for |s| up to 1/3 (error 2e-18).
_EXP = (
    5.000000000000019e-01, 1.666666666666668e-01, 4.166666666648795e-02, 8.333333333319589e-03, 1.3888888952352863e-03,
    1.9841269890076403e-04, 2.4801485441561313e-05, 2.755724088722987e-06, 2.763265472252779e-07,
    2.5110049204818658e-08,
)  # fmt: skip
_ATANH = (
    3.3333333333333076e-01, 2.0000000000092874e-01, 1.4285714272727057e-01, 1.1111112040373837e-01,
    9.090870416252403e-02, 7.693307021152004e-02, 6.650187016337313e-02, 6.055084364034609e-02, 4.16225325593041e-02,
    8.522081781390699e-02,
)  # fmt: skip


@as_written
def _polynomial(c, x):
    """Of 10 coefficients, by Estrin's scheme: less waiting for one result before the next than by Horner's."""
    x2 = x * x
    x4 = x2 * x2
    low = ((c[0] + c[1] * x) + (c[2] + c[3] * x) * x2) + ((c[4] + c[5] * x) + (c[6] + c[7] * x) * x2) * x4
    return low + (c[8] + c[9] * x) * (x4 * x4)


@as_written
def exp(x: float) -> Any:
    """e**x to within 1 unit in the last place; 0 below -708 and infinity above 709."""
    result = _exp_in_range(x)
    not_below = 0.0 if x < -708.0 else result  # neither comparison holds for NaN, whose result is NaN
    return math.inf if x > 709.0 else not_below


@as_written
def exp_of_negative(x: float) -> Any:
    """e**x for x up to 0, with fewer instructions; e**-708 below -708."""
    return _exp_in_range(-708.0 if x < -708.0 else x)


@as_written
def _exp_in_range(x):
    shifted = np.float64(x * _LOG2_E + _ROUND)
    n = shifted - _ROUND
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    total = 1.0 + (r + r * r * _polynomial(_EXP, r))
    # Adding n to the exponent multiplies by 2**n.
    return np.int64(np.float64(total).view(np.int64) + (shifted.view(np.int64) << np.int64(52))).view(np.float64)


@as_written
def _atanh(s):
    """Atanh(s) for |s| up to 1/3."""
    square = s * s
    return s + s * square * _polynomial(_ATANH, square)


@as_written
def log1p_and_share(x: float) -> Any:
    """log(1 + x) = 2 atanh(x / (2 + x)) and x / (1 + x) for x in [0, 1], accurate down to the smallest x.

    By one division for both: it takes as long as a polynomial.
    """
    plus_one, plus_two = 1.0 + x, 2.0 + x
    part = x / (plus_one * plus_two)
    return 2.0 * _atanh(part * plus_one), part * plus_two


@as_written
def log(x: float) -> Any:
    """log(x) for finite x of at least 1."""
    # Split x = m 2**e with m in [sqrt(1/2), sqrt(2)); e is small, so it becomes a float by way of the lowest bits.
    bits = np.float64(x).view(np.int64) + np.int64(0x0009_5F61_9980_C433)  # carries into e when m would exceed sqrt(2)
    exponent = (bits >> np.int64(52)) - np.int64(1023)
    e = np.int64(exponent + np.int64(0x4338_0000_0000_0000)).view(np.float64) - _ROUND
    m = np.int64(np.float64(x).view(np.int64) - (exponent << np.int64(52))).view(np.float64)
    result = e * _LN2 + 2.0 * _atanh((m - 1.0) / (m + 1.0))
    return x if math.isnan(x) else result
