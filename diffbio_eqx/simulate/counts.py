"""Negative binomial counts of an experiment, with known effects and dispersions."""

import dataclasses

import numpy as np

from diffbio_eqx._checks import require, require_range


@dataclasses.dataclass(frozen=True)
class SimulatedCounts:
    """Counts (samples, genes) and the truth behind them.

    - `design` (samples, coefs): intercept first, the tested group last.
    - `coefficients` (coefs, genes): natural logarithms; the intercept is the log mean.
    - `dispersion` (genes,), `size_factors` (samples,).
    - `differential` (genes,): whether the effect of the last coefficient is not 0.
    """

    counts: np.ndarray
    design: np.ndarray
    coefficients: np.ndarray
    dispersion: np.ndarray
    size_factors: np.ndarray
    differential: np.ndarray


def simulate_counts(
    genes: int = 1000,
    samples: int = 8,
    *,
    seed: int = 0,
    differential: float = 0.1,
    effect: float = 1.0,
    batches: int = 1,
    batch_effect: float = 0.3,
    asymptotic_dispersion: float = 0.05,
    extra_poisson: float = 2.0,
    dispersion_spread: float = 0.5,
    mean: float = 100.0,
    mean_spread: float = 2.0,
    depth_spread: float = 0.25,
) -> SimulatedCounts:
    """Two groups of samples, in turn, drawn as DESeq2 assumes them to be.

    Gene i of sample j is negative binomial with mean `s_j exp(x_j' beta_i)` and
    dispersion `alpha_i`, where `log alpha_i ~ N(log(a0 + a1 / mean_i), spread^2)`.

    **Arguments:**

    - `differential`: share of genes with an effect, drawn from N(0, `effect`^2) in
      log2.
    - `batches`: further groups of samples with effects from N(0, `batch_effect`^2) in
      log2; samples take them in turn, within each group of the test.
    - `asymptotic_dispersion` a0, `extra_poisson` a1, `dispersion_spread`: as above.
    - `mean`, `mean_spread`: median of the genes' means, and their standard deviation in
      natural logs. `depth_spread`: the same of the size factors (median 1).

    **Raises:** `ValueError` for shares outside [0, 1] and fewer than 2 samples.
    """
    require(samples >= 2, "samples", expected="at least 2", got=samples)
    require(genes >= 1, "genes", expected="at least 1", got=genes)
    require_range("share of differential genes", differential, 0.0, 1.0)
    draw = np.random.default_rng(seed)
    group = np.arange(samples) % 2
    batch = np.arange(samples) // 2 % max(batches, 1)
    columns = [np.ones(samples)]
    columns += [(batch == b).astype(float) for b in range(1, batches)]
    design = np.stack([*columns, group.astype(float)], 1)
    is_differential = draw.random(genes) < differential
    log_mean = np.log(mean) + mean_spread * draw.standard_normal(genes)
    shifts = batch_effect * np.log(2) * draw.standard_normal((batches - 1, genes))
    change = effect * np.log(2) * draw.standard_normal(genes) * is_differential
    coefficients = np.concatenate([log_mean[None], shifts, change[None]])
    trend = asymptotic_dispersion + extra_poisson / np.exp(log_mean)
    dispersion = trend * np.exp(dispersion_spread * draw.standard_normal(genes))
    size_factors = np.exp(depth_spread * draw.standard_normal(samples))
    means = size_factors[:, None] * np.exp(design @ coefficients)
    rate = draw.gamma(1 / dispersion, dispersion, (samples, genes))
    counts = draw.poisson(means * rate).astype(float)
    return SimulatedCounts(
        counts, design, coefficients, dispersion, size_factors, is_differential
    )
