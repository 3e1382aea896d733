"""The banded pair-HMM against a full-matrix loop, its gradients and its batches."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffbio_eqx.operators.variants.gap_model import GapModel
from diffbio_eqx.operators.variants.pair_hmm import PairHMM, ReadOnHaplotype

BAND = 16


def full_matrix(x, band):
    """The same model with every column, float64, plain loops."""
    bases = np.asarray(x.bases)[: int(x.length)]
    error = np.clip(np.asarray(x.errors, np.float64), 1e-7, 0.75)
    size = x.haplotype.shape[0]
    pad = band + len(bases) + abs(int(x.offset))
    haplotype = np.full(size + 2 * pad, 7)
    haplotype[pad : pad + size] = np.asarray(x.haplotype)
    opening = np.full(size + 2 * pad, 1e-5)
    opening[pad : pad + size] = np.asarray(x.gap_open, np.float64)
    opening[haplotype == 7] = 1e-5
    extend = float(x.gap_extend)
    first = pad + int(x.offset) - band // 2
    columns = len(haplotype)
    match, insertion, deletion = np.zeros((3, len(bases), columns))
    for i, base in enumerate(bases):
        for c in range(1, columns):
            if base > 3 or haplotype[c] == 4:
                emission = 0.25
            elif base == haplotype[c]:
                emission = 1 - error[i]
            else:
                emission = error[i] / 3
            if i == 0:
                before = 1 / band if first <= c < first + band else 0.0
            else:
                before = (1 - 2 * opening[c - 1]) * match[i - 1, c - 1]
                before += (1 - extend) * (
                    insertion[i - 1, c - 1] + deletion[i - 1, c - 1]
                )
                insertion[i, c] = 0.25 * (
                    opening[c] * match[i - 1, c] + extend * insertion[i - 1, c]
                )
            match[i, c] = emission * before
            deletion[i, c] = (
                opening[c - 1] * match[i, c - 1] + extend * deletion[i, c - 1]
            )
    return np.log((match[-1] + insertion[-1]).sum())


def make(rng, kind, dtype=np.float32, rows=24, columns=40):
    haplotype = rng.integers(0, 4, columns)
    haplotype[18:24] = 2
    at = 6
    copy = list(haplotype)
    if kind == "deletion":
        del copy[18:20]
    elif kind == "insertion":
        copy[18:18] = [2, 2, 0]
    read = np.array(copy[at : at + rows])
    if kind == "noise":
        read[::3] = rng.integers(0, 5, len(read[::3]))
    haplotype[columns - 3 :] = 7
    opening = GapModel()(jnp.asarray(haplotype, jnp.uint8))
    return ReadOnHaplotype(
        jnp.asarray(read, jnp.uint8),
        jnp.asarray(rng.uniform(1e-4, 0.05, rows), dtype),
        jnp.asarray(rows - 2, jnp.int32),
        jnp.asarray(haplotype, jnp.uint8),
        opening.astype(dtype),
        jnp.asarray(0.1, dtype),
        jnp.asarray(at + (kind == "noise"), jnp.int32),
    )


@pytest.mark.parametrize("kind", ["equal", "deletion", "insertion", "noise"])
def test_equals_the_full_matrix(kind):
    x = make(np.random.default_rng(1), kind)
    np.testing.assert_allclose(
        PairHMM(BAND)(x), full_matrix(x, BAND), rtol=1e-5, atol=1e-4
    )


def test_an_off_haplotype_read_is_finite():
    x = make(np.random.default_rng(2), "equal")
    x = eqx.tree_at(lambda x: x.offset, x, jnp.asarray(36, jnp.int32))
    inside = make(np.random.default_rng(2), "equal")
    value, fits = PairHMM(BAND)(x), PairHMM(BAND)(inside)
    assert np.isfinite(value) and value < fits - 50


def test_a_deletion_scores_best_on_its_own_haplotype():
    rng = np.random.default_rng(3)
    reference = rng.integers(0, 4, 60)
    # One placement of the deletion only.
    reference[36] = (reference[30] + 1) % 4
    reference[35] = (reference[29] + 1) % 4
    alternative = np.concatenate([reference[:30], reference[36:], np.full(6, 7)])
    hmm, gaps = PairHMM(32), GapModel()
    read = jnp.asarray(alternative[10:50], jnp.uint8)

    def score(haplotype):
        haplotype = jnp.asarray(haplotype, jnp.uint8)
        return hmm(
            ReadOnHaplotype(
                read,
                jnp.full(40, 1e-3),
                jnp.asarray(40, jnp.int32),
                haplotype,
                gaps(haplotype),
                gaps.extend,
                jnp.asarray(10, jnp.int32),
            )
        )

    # Opening costs Q45 and five extensions Q10 each; the closing 1 - 0.1.
    expected = (45 + 50) * np.log(10) / 10 - np.log(0.9)
    gain = score(alternative) - score(reference)
    np.testing.assert_allclose(gain, expected, atol=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["deletion", "noise"])
def test_gradients_are_central_differences_in_float64(kind):
    with jax.enable_x64(True):
        x = make(np.random.default_rng(4), kind, np.float64)
        gaps = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), GapModel())
        hmm = PairHMM(BAND)

        def value(errors, opening, extension):
            model = eqx.tree_at(
                lambda g: (g.opening.raw, g.extension.raw),
                gaps,
                (opening, extension),
            )
            item = eqx.tree_at(
                lambda x: (x.errors, x.gap_open, x.gap_extend),
                x,
                (errors, model(x.haplotype), model.extend),
            )
            return hmm(item)

        at = (x.errors, gaps.opening.value, gaps.extension.value)
        gradient = jax.grad(value, (0, 1, 2))(*at)
        step = 1e-6
        for k, (leaf, got) in enumerate(zip(at, gradient, strict=True)):
            flat = np.asarray(leaf).reshape(-1)
            expected = []
            for i in range(len(flat)):
                values = []
                for sign in (1, -1):
                    moved = flat.copy()
                    scale = step * max(abs(flat[i]), 1e-3)
                    moved[i] += sign * scale
                    arguments = list(at)
                    arguments[k] = jnp.asarray(moved).reshape(leaf.shape)
                    values.append(float(value(*arguments)))
                expected.append((values[0] - values[1]) / (2 * scale))
            np.testing.assert_allclose(
                np.asarray(got).reshape(-1), expected, rtol=1e-5, atol=1e-6
            )
        assert np.abs(np.asarray(gradient[1])).max() > 1e-6
        tangent = tuple(jnp.ones_like(leaf) for leaf in at)
        _, forward = jax.jvp(value, at, tangent)
        backward = sum(g.sum() for g in gradient)
        np.testing.assert_allclose(forward, backward, rtol=1e-9)


def _stack(items):
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *items)


def test_pairs_in_blocks_equal_one_by_one_and_skip_padding():
    rng = np.random.default_rng(5)
    kinds = ["equal", "deletion", "insertion", "noise", "equal", "noise", "noise"]
    items = [make(rng, kind) for kind in kinds]
    batch = eqx.tree_at(lambda x: x.gap_extend, _stack(items), jnp.asarray(0.1))
    mask = jnp.asarray([True] * 3 + [False] * 4)
    poisoned = eqx.tree_at(
        lambda x: (x.errors, x.gap_open),
        batch,
        (batch.errors.at[3:].set(jnp.nan), batch.gap_open.at[3:].set(jnp.nan)),
    )
    hmm = PairHMM(BAND, block=2)
    one_by_one = [float(hmm(item)) for item in items[:3]] + [0.0] * 4
    score = eqx.filter_jit(lambda x: hmm.score_pairs(x, mask))
    np.testing.assert_allclose(score(poisoned), one_by_one, rtol=1e-5)
    vmapped = jax.vmap(hmm)(_stack(items))
    np.testing.assert_allclose(vmapped[:3], one_by_one[:3], rtol=1e-5)

    def total(errors, opening):
        x = eqx.tree_at(lambda x: (x.errors, x.gap_open), poisoned, (errors, opening))
        return hmm.score_pairs(x, mask).sum()

    gradients = jax.grad(total, (0, 1))(poisoned.errors, poisoned.gap_open)
    for gradient in gradients:
        assert np.isfinite(gradient).all()
        assert (np.asarray(gradient[3:]) == 0).all()
        assert np.abs(np.asarray(gradient[:3])).max() > 0


def test_vmap_over_samples_keeps_the_skipping_of_empty_blocks():
    rng = np.random.default_rng(6)
    items = [make(rng, "equal") for _ in range(4)]
    batch = eqx.tree_at(lambda x: x.gap_extend, _stack(items), jnp.asarray(0.1))
    samples = jax.tree.map(lambda a: jnp.stack([a, a]), batch)
    mask = jnp.asarray([[True, True, False, False], [True, False, False, False]])
    hmm = PairHMM(BAND, block=2)
    jaxpr = str(jax.make_jaxpr(jax.vmap(hmm.score_pairs))(samples, mask))
    assert "cond[" in jaxpr
    out = jax.vmap(hmm.score_pairs)(samples, mask)
    single = hmm.score_pairs(batch, mask[1])
    np.testing.assert_allclose(out[1], single, rtol=1e-5)
    assert float(out[0, 1]) < 0 and float(out[1, 1]) == 0


def test_band_and_block_are_checked():
    with pytest.raises(ValueError, match="band of PairHMM"):
        PairHMM(band=31)
    with pytest.raises(ValueError, match="block of PairHMM"):
        PairHMM(block=0)
