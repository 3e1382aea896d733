"""The Wilson score interval of a proportion."""

import math
import statistics


def wilson_interval(
    successes: int | float, trials: int | float, *, confidence: float = 0.95
) -> tuple[float, float]:
    """Interval of a proportion that behaves at 0, at 1 and for few trials.

    centre = (p + z^2 / 2n) / (1 + z^2 / n), half width = z sqrt(p (1 - p) / n +
    z^2 / 4n^2) / (1 + z^2 / n), with p = successes / trials and z the normal quantile
    of `confidence`. No trials give (0, 1).

    **Raises** `ValueError` unless 0 <= successes <= trials and 0 < confidence < 1.

    **Reference:** Wilson 1927, doi:10.1080/01621459.1927.10502953
    """
    if not 0 <= successes <= trials:
        raise ValueError(
            "successes must lie between 0 and trials, "
            f"got {successes} of {trials}; check the counts."
        )
    if not 0.0 < confidence < 1.0:
        raise ValueError(
            f"confidence must lie between 0 and 1, got {confidence}; 0.95 is usual."
        )
    if trials == 0:
        return 0.0, 1.0
    z2 = statistics.NormalDist().inv_cdf(0.5 + confidence / 2.0) ** 2
    p, scale = successes / trials, 1.0 + z2 / trials
    centre = (p + z2 / (2.0 * trials)) / scale
    spread = math.sqrt(z2 * (p * (1.0 - p) + z2 / (4.0 * trials)) / trials) / scale
    return max(0.0, centre - spread), min(1.0, centre + spread)
