"""Weights of copies: hard limit, sums, gradients."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffbio_eqx import set_mode, set_temperature
from diffbio_eqx.data.duplicate_families import DuplicateFamilies
from diffbio_eqx.operators.reads.duplicate_weighting import DuplicateWeighting


def random_block(seed, reads=300, families=120):
    rng = np.random.default_rng(seed)
    return DuplicateFamilies.from_groups(
        rng.integers(0, families, reads), rng.integers(100, 110, reads).astype(float)
    )


def keep_the_best(block):
    """The plain rule: best quality, then order; copies only above the threshold."""
    weight = np.zeros(len(block.family))
    for family in set(block.family.tolist()):
        inside = (block.family == family) & (block.similarity >= 0.95)
        rows = np.flatnonzero(inside)
        if len(rows):
            weight[min(rows, key=lambda r: (-block.quality[r], block.order[r]))] = 1
        weight[(block.family == family) & ~inside] = 1
    return weight


def test_hard_keeps_the_best_and_drops_the_rest():
    block = random_block(0)
    weight = DuplicateWeighting(mode="hard")(block)
    np.testing.assert_array_equal(weight, keep_the_best(block))
    np.testing.assert_array_equal(DuplicateWeighting()(block), weight)


def test_reads_unlike_their_centre_count_by_themselves():
    block = DuplicateFamilies.from_groups(
        [0, 0, 0, 0], [9.0, 8.0, 7.0, 6.0], similarity=[1, 0.97, 0.93, 0.96]
    )
    weight = DuplicateWeighting(mode="hard")(block)
    assert weight.tolist() == [1, 0, 1, 0] == keep_the_best(block).tolist()


def test_soft_weights_of_a_family_sum_to_one_however_deep():
    family = np.repeat([0, 1, 2], [1, 2, 500])
    quality = np.random.default_rng(1).uniform(3000, 3100, 503)
    block = DuplicateFamilies.from_groups(family, quality)
    weight = np.asarray(DuplicateWeighting(mode="soft")(block))
    assert weight[0] == 1.0
    np.testing.assert_allclose(np.bincount(family, weight), 1, rtol=1e-5)


def test_a_read_alone_is_exactly_one_in_every_mode():
    block = DuplicateFamilies.from_groups(
        [0, 1], [4000.0, 7.0], similarity=[0.951, 0.3]
    )
    for mode in ("soft", "straight_through", "hard"):
        assert DuplicateWeighting(mode=mode)(block).tolist() == [1.0, 1.0]


def test_soft_tends_to_hard():
    rng = np.random.default_rng(2)
    quality = rng.permutation(300).astype(float)
    block = DuplicateFamilies.from_groups(rng.integers(0, 120, 300), quality)
    soft = DuplicateWeighting(0.95, 500.0, mode="soft")
    soft = set_temperature(soft, 1e-4)
    np.testing.assert_allclose(soft(block), set_mode(soft, "hard")(block), atol=2e-3)


def test_gradients_reach_threshold_and_preference():
    block = DuplicateFamilies.from_groups(
        [0, 0, 0], [30.0, 33.0, 31.0], similarity=[1, 0.96, 0.94]
    )

    @eqx.filter_grad
    def slope(operator):
        weight = operator(jax.tree.map(jnp.asarray, block))
        return (weight * jnp.array([1.0, 2.0, 3.0])).sum()

    for mode in ("soft", "straight_through"):
        found = slope(DuplicateWeighting(mode=mode))
        assert found.similarity_threshold.raw != 0
        assert found.quality_preference.raw != 0


def test_settings_are_checked():
    with pytest.raises(ValueError, match="threshold"):
        DuplicateWeighting(1.0)
    with pytest.raises(ValueError, match="preference"):
        DuplicateWeighting(preference=0.0)
