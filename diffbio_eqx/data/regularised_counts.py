"""Counts on a regularised log2 scale."""

import equinox as eqx
from jaxtyping import Array, Bool, Float


class RegularisedCounts(eqx.Module):
    """What the regularised logarithm makes of a table.

    - `values` (samples, genes): log2 scale; 0 for genes that are not tested.
    - `intercept` (genes,): log2 level that the values of a gene are pulled to; needed,
      with the next one, to transform other samples in the same way.
    - `prior_variance`: of the samples' deviations from the intercept, log2 units.
    - `converged` (genes,): the iterations ended by themselves.
    - `sparsity`: of the genes with more than 100 scaled counts, the share in which one
      sample holds more than 90 % of them. Above 0.1 the method's assumption (negative
      binomial counts) fails; use a variance-stabilising transformation there.
    """

    values: Float[Array, "samples genes"]
    intercept: Float[Array, " genes"]
    prior_variance: Float[Array, ""]
    converged: Bool[Array, " genes"]
    sparsity: Float[Array, ""]
