"""Effects pulled towards 0 by a prior."""

import equinox as eqx
from jaxtyping import Array, Bool, Float


class ShrunkenEffects(eqx.Module):
    """What a shrinkage estimator says of every gene. Untested genes mean nothing.

    - `log_fold_change`, `standard_error` (genes,): log2 effect at the posterior mode
      and its posterior standard deviation.
    - `coefficients` (coefs, genes): natural logarithms, all at the mode.
    - `converged` (genes,): the mode was found and is a minimum.
    - `prior_scale`: natural logarithms; the scale S of the Cauchy prior (scalar), or
      the standard deviations of the normal priors (coefs,).
    - `false_sign_rate` (genes,): posterior probability that the effect has the other
      sign, or (with a threshold) that it has the other sign or is smaller.
    - `s_value` (genes,): mean rate among the genes with this or a lower rate.
    """

    log_fold_change: Float[Array, " genes"]
    standard_error: Float[Array, " genes"]
    coefficients: Float[Array, "coefs genes"]
    converged: Bool[Array, " genes"]
    prior_scale: Float[Array, "*coefs"]
    false_sign_rate: Float[Array, " genes"]
    s_value: Float[Array, " genes"]
