"""The dispersion trend `a0 + a1 / mean`, fitted with DESeq2's rules."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from diffbio_eqx._numerics import safe_div

START = (0.1, 1.0)
LOWEST, HIGHEST = 1e-4, 15.0
"""Genes whose dispersion is in this interval, times the trend, are fitted."""

_ROUNDS, _STEPS = 11, 25


def fit_parametric_trend(
    mean: Float[Array, " genes"],
    dispersion: Float[Array, " genes"],
    used: Bool[Array, " genes"],
    *,
    solver: str = "deseq2",
) -> tuple[Float[Array, " 2"], Bool[Array, ""]]:
    """Coefficients (a0, a1) and whether there are any.

    A gamma GLM with identity link, again and again on those of the `used` genes whose
    dispersion is 1e-4 to 15 times the last trend, until the coefficients rest
    (`sum (log ratio)^2 < 1e-6`). It fails where a coefficient is not positive or after
    11 rounds. Solver "exact": Newton steps then go to the optimum, some 1e-6 away.

    Genes not in `used` must hold positive numbers. The gradient is that of the optimum
    with the genes of the last round (0 after a failure):
    `sum_g (d_g - mu_g) / mu_g^2 (1, 1 / mean_g) = 0`.
    """
    inverse = 1 / mean
    fixed = jax.tree.map(lax.stop_gradient, (inverse, dispersion))
    coefficients, inside, good = _search(*fixed, used)
    return _optimum(solver, inverse, dispersion, coefficients, inside, good), good


def _search(x: Array, y: Array, used: Array) -> tuple[Array, Array, Array]:
    """The coefficients by R's rules, the genes of the last round, and success."""

    def inside(coefficients):
        share = y / (coefficients[0] + coefficients[1] * x)
        return used & (share > LOWEST) & (share < HIGHEST)

    def going(carry):
        _, _, done, resting, failed = carry
        return (done < _ROUNDS) & ~resting & ~failed

    def one_round(carry):
        old, _, done, _, _ = carry
        genes = inside(old)
        new, converged = _gamma_glm(x, y, genes, old)
        failed = ~(new > 0).all()
        new = jnp.where(failed, old, new)
        change = (jnp.log(new / old) ** 2).sum()
        return new, genes, done + 1, (change < 1e-6) & converged & ~failed, failed

    no = jnp.zeros((), bool)
    start = (jnp.asarray(START, x.dtype), used, jnp.asarray(0), no, no)
    coefficients, genes, _, resting, _ = lax.while_loop(going, one_round, start)
    return coefficients, genes, resting


def _gamma_glm(x: Array, y: Array, genes: Array, start: Array) -> tuple[Array, Array]:
    """Iteratively reweighted least squares of y on (1, x), and whether it converged.

    A step that makes a fitted value negative is halved. In float32 the deviance is
    compared to its rounding.
    """
    tolerance = max(1e-8, 4 * float(jnp.finfo(x.dtype).eps))

    def fitted(coefficients):
        return jnp.where(genes, coefficients[0] + coefficients[1] * x, 1.0)

    def deviance(mu):
        terms = (y - mu) / mu - jnp.log(y / mu)
        return 2 * jnp.where(genes, terms, 0.0).sum()

    def halve(carry):
        new, old, tries = carry
        return (new + old) / 2, old, tries + 1

    def going(carry):
        return (carry[2] < _STEPS) & ~carry[3] & ~carry[4]

    def step(carry):
        old, before, done, _, _ = carry
        new = _least_squares(x, y, jnp.where(genes, fitted(old) ** -2, 0.0))
        wrong = lambda c: (fitted(c[0]) <= 0).any() & (c[2] < _STEPS)
        new, _, _ = lax.while_loop(wrong, halve, (new, old, jnp.asarray(0)))
        lost = ~jnp.isfinite(new).all() | (fitted(new) <= 0).any()
        after = deviance(jnp.where(lost, 1.0, fitted(new)))
        converged = jnp.abs(after - before) < tolerance * (jnp.abs(after) + 0.1)
        return new, after, done + 1, converged & ~lost, lost

    no = jnp.zeros((), bool)
    first = (start, deviance(fitted(start)), jnp.asarray(0), no, no)
    new, _, _, converged, lost = lax.while_loop(going, step, first)
    return jnp.where(lost, -1.0, new), converged


def _least_squares(x: Array, y: Array, weights: Array) -> Array:
    """Constant and slope of the weighted line; a slope of -1 for x all equal."""
    weights = safe_div(weights, weights.sum())
    centre, level = (weights * x).sum(), (weights * y).sum()
    spread = (weights * (x - centre) ** 2).sum()
    slope = safe_div((weights * (x - centre) * (y - level)).sum(), spread, -1.0)
    return jnp.stack([level - slope * centre, slope])


def _score(coefficients: Array, x: Array, y: Array, inside: Array) -> Array:
    """Gradient of the gamma log likelihood (shape 1), over the number of genes."""
    mu = jnp.where(inside, coefficients[0] + coefficients[1] * x, 1.0)
    error = jnp.where(inside, (y - mu) / mu**2, 0.0)
    count = jnp.maximum(inside.sum(), 1).astype(x.dtype)
    return jnp.stack([error.sum(), (error * x).sum()]) / count


def _newton_step(x: Array, y: Array, coefficients: Array, inside: Array, score: Array):
    """Minus the observed information's inverse times the score; 0 where singular."""
    mu = jnp.where(inside, coefficients[0] + coefficients[1] * x, 1.0)
    weight = jnp.where(inside, (2 * y - mu) / mu**3, 0.0)
    total = weight.sum()
    centre = safe_div((weight * x).sum(), total)
    spread = (weight * (x - centre) ** 2).sum()
    count = jnp.maximum(inside.sum(), 1).astype(x.dtype)
    slope = safe_div(score[1] - centre * score[0], spread) * count
    return jnp.stack([safe_div(score[0], total) * count - centre * slope, slope])


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _optimum(
    solver: str, x: Array, y: Array, coefficients: Array, inside: Array, good: Array
) -> Array:
    def step(_, at):
        new = at + _newton_step(x, y, at, inside, _score(at, x, y, inside))
        near = (jnp.abs(new - at) < 0.01 * at).all()
        return jnp.where(near & good, new, at)

    return (
        lax.fori_loop(0, 3, step, coefficients) if solver == "exact" else coefficients
    )


@_optimum.defjvp
def _optimum_jvp(solver, primals, tangents):
    x, y, _, inside, good = primals
    optimum = _optimum(solver, *primals)
    moved = jax.jvp(
        lambda x, y: _score(optimum, x, y, inside), (x, y), tuple(tangents[:2])
    )[1]
    change = _newton_step(x, y, optimum, inside, moved)
    return optimum, jnp.where(good, change, 0.0)
