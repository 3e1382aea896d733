"""Temperatures as functions of the step, for `fit(..., temperature=...)`."""

from collections.abc import Callable

from diffbio_eqx._checks import require, require_range


def exponential(start: float, end: float, steps: int) -> Callable[[int], float]:
    """From `start` to `end` by an equal factor a step, then `end`.

    `t(i) = start (end / start) ^ min(i / steps, 1)`; both temperatures are > 0.
    """
    _check(start, end, steps)
    return lambda step: start * (end / start) ** min(step / steps, 1.0)


def linear(start: float, end: float, steps: int) -> Callable[[int], float]:
    """From `start` to `end` by an equal amount a step, then `end`.

    `t(i) = start + (end - start) min(i / steps, 1)`; both temperatures are > 0.
    """
    _check(start, end, steps)
    return lambda step: start + (end - start) * min(step / steps, 1.0)


def _check(start: float, end: float, steps: int) -> None:
    require_range("first temperature", start, 0.0, open_low=True)
    require_range("last temperature", end, 0.0, open_low=True)
    require(steps >= 1, "steps of a schedule", expected="at least 1", got=steps)
