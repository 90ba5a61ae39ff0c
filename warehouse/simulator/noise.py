"""Random numbers that depend on names only, and the paths of which a market is built.

Every draw comes from a generator whose seed is a hash of words (seed, symbol, month, purpose),
never from one generator passed along: any part of the market can be made without the rest, in any
order, and is the same. Paths are made from numpy's uniform draws, which do not change between
versions; another kind of processor may differ in the last bit of an exponential.
"""

from __future__ import annotations

import hashlib
import math
from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

DAY_MINUTES = 1440
WEEK_MINUTES = 7 * DAY_MINUTES


def generator(*words: object) -> np.random.Generator:
    """A generator whose seed is a hash of these words, such as numbers, names and dates."""
    text = "\x1f".join(str(word) for word in words)
    digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
    sequence = np.random.SeedSequence(int.from_bytes(digest, "little"))
    return np.random.Generator(np.random.SFC64(sequence))


def normals(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Nearly normal values, mean 0 and deviation 1: sums of four uniforms, within 3.5.

    Twice as fast as drawing true normals; the market's fat tails come from its volatility.
    """
    low = np.uint64(0x0000_FFFF_0000_FFFF)
    bits = rng.integers(0, 1 << 64, shape, dtype=np.uint64)
    pairs = bits & low  # two 16-bit numbers, each in 32 bits ...
    bits >>= np.uint64(16)
    bits &= low
    pairs += bits  # ... and the other two on top of them
    total = pairs >> np.uint64(32)
    pairs &= np.uint64(0xFFFF_FFFF)
    total += pairs
    values = total.astype(np.float64)
    values -= 2 * 0xFFFF
    values *= math.sqrt(3) / 0x1_0000
    return values


def exponentials(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Exponential values of mean 1."""
    return -np.log1p(-rng.random(shape))


def bridge(noise: Floats, *, half_life: float, start: float, end: float) -> Floats:
    """A mean-reverting path of unit variance that begins at ``start`` and ends at ``end``.

    Parameters
    ----------
    noise
        One standard normal per minute, whole days of them.
    half_life
        Minutes after which half of a deviation is gone; at least 3.
    start, end
        Value just before the first minute and value at the last one. Months that share these values
        join without a seam.

    Returns
    -------
    Floats
        One value more than ``noise``: ``start``, then the path.
    """
    decay = 0.5 ** (1 / half_life)
    growth, fade = _powers(decay)
    days = noise.reshape(-1, DAY_MINUTES) * growth
    np.cumsum(days, axis=1, out=days)
    days *= fade * np.sqrt(1 - decay**2)
    carried = np.empty(len(days))
    value = start
    for day, last in enumerate(days[:, -1].tolist()):
        carried[day] = value
        value = last + value * fade[-1]
    days += carried[:, None] * fade
    path = np.empty(noise.size + 1)
    path[0] = start
    path[1:] = days.ravel()
    path[1:] += (end - value) * _pull(decay, noise.size)
    return path


@cache
def _powers(decay: float) -> tuple[Floats, Floats]:
    """``decay ** -k`` and ``decay ** k`` for the minutes of a day."""
    minute = np.arange(1.0, DAY_MINUTES + 1)
    return decay**-minute, decay**minute


@cache
def _pull(decay: float, minutes: int) -> Floats:
    """Weight, from 0 to 1, that draws a free path to its end: a ratio of hyperbolic sines."""
    minute = np.arange(1.0, minutes + 1)
    rate = math.log(decay)
    weight: Floats = np.exp(rate * (minutes - minute)) * -np.expm1(2 * rate * minute)
    return weight / -math.expm1(2 * rate * minutes)


@cache
def busy_week() -> Floats:
    """Logarithm of the usual activity in each minute of a week from Monday 00:00 UTC.

    Busiest when Europe and America overlap, quiet late at night and on Sunday.
    """
    minute = np.arange(WEEK_MINUTES)
    hour = minute / 60 % 24
    weekday = minute / DAY_MINUTES
    daily = 0.32 * np.cos((hour - 15) * np.pi / 12) + 0.14 * np.cos((hour - 14.5) * np.pi / 6)
    return daily + 0.2 * np.cos((weekday - 2.6) * 2 * np.pi / 7)
