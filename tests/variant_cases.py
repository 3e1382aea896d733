"""Cases of the contract tests for the read and variant operators."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from contract import Case
from indel_cases import (
    evidence,
    make_rows,
    plain,
    propose,
    random_reference,
    with_deletion,
    with_insertion,
)
from read_cases import (
    random_column,
    random_pileup,
    random_window,
    seed_of,
    soft_window,
    weights,
)

from diffbio_eqx.data.indel_padding import pad_loci
from diffbio_eqx.operators.reads.error_curve import KNOTS, ErrorCurve, MappingError
from diffbio_eqx.operators.reads.pileup import Pileup
from diffbio_eqx.operators.reads.quality_filter import QualityFilter
from diffbio_eqx.operators.variants.classifier import VariantClassifier
from diffbio_eqx.operators.variants.dense_likelihood import DenseLikelihood
from diffbio_eqx.operators.variants.gap_model import GapModel
from diffbio_eqx.operators.variants.genotype_likelihood import GenotypeLikelihood
from diffbio_eqx.operators.variants.genotype_prior import GenotypePrior
from diffbio_eqx.operators.variants.haplotype_rescoring import (
    CalledIndels,
    HaplotypeRescoring,
)
from diffbio_eqx.operators.variants.indel_likelihood import IndelLikelihood
from diffbio_eqx.operators.variants.pair_hmm import PairHMM, ReadOnHaplotype
from diffbio_eqx.operators.variants.window_features import WindowFeatures

NAN = jnp.nan
_REFERENCE = random_reference(length=140, seed=4)
_SITES = np.array([60, 68])
_CAPACITY = {"loci": 2, "segments": 6, "pairs": 20, "near": 3, "near_pairs": 12}


def _uniform(low, high, *shape):
    return lambda key: jax.random.uniform(key, shape, minval=low, maxval=high)


def _qualities(key):
    return _uniform(5.0, 40.0, 6)(key), jnp.full(6, 50.0)


def _curve():
    """Not zero, so that its slope matters."""
    return ErrorCurve(2.0 * np.sin(np.arange(KNOTS) / 3.0))


def _weighted(make):
    def inputs(key):
        window = make(seed_of(key))
        return window, weights(window, seed_of(key))

    return inputs


def _poison_window(window):
    """Rubbish wherever a window holds no base that counts."""
    real = window.read_mask[:, None]
    rubbish = ~real | (window.bases > 5)
    poisoned = dataclasses.replace(
        window,
        bases=jnp.where(real, window.bases, jnp.uint8(2)),
        qualities=jnp.where(rubbish, NAN, window.qualities),
        mapping_quality=jnp.where(window.read_mask, window.mapping_quality, 255),
        event_length=jnp.where(window.event_mask, window.event_length, 99),
    )
    if window.base_probs is not None:
        probs = jnp.where(rubbish[..., None], NAN, window.base_probs)
        poisoned = dataclasses.replace(poisoned, base_probs=probs)
    return poisoned, rubbish


def _poison_weighted(item):
    window, rubbish = _poison_window(item[0])
    return (window, *(jnp.where(rubbish, NAN, x) for x in item[1:]))


def _with_errors(key):
    window = random_window(seed_of(key))
    error = _uniform(0.02, 0.4, *window.bases.shape)(key)
    return window, weights(window, seed_of(key)), error


def _read_on_haplotype(key):
    seed = seed_of(key)
    rng = np.random.default_rng(seed)
    haplotype = np.append(rng.integers(0, 4, 20), [7, 7]).astype(np.uint8)
    bases = np.append(haplotype[4:14], [4, 4]).astype(np.uint8)
    bases[5] ^= 1
    return ReadOnHaplotype(
        bases=jnp.asarray(bases),
        errors=_uniform(0.02, 0.3, 12)(key),
        length=jnp.int32(10),
        haplotype=jnp.asarray(haplotype),
        gap_open=_uniform(0.01, 0.1, 22)(key),
        gap_extend=jnp.float32(0.1),
        offset=jnp.int32(4),
    )


def _poison_read(x):
    beyond = x.haplotype == 7
    return dataclasses.replace(
        x,
        bases=x.bases.at[10:].set(2),
        errors=x.errors.at[10:].set(NAN),
        gap_open=jnp.where(beyond, NAN, x.gap_open),
    )


def _indel_reads():
    reads = [plain(_REFERENCE, 44 + 2 * k, 40) for k in range(2)]
    reads += [with_deletion(_REFERENCE, 64, 3, 43 + 3 * k, 40) for k in range(2)]
    added = [int(_REFERENCE[62])]
    reads += [with_insertion(_REFERENCE, 64, added, 45 + 2 * k, 40) for k in range(2)]
    return make_rows(reads)


def _evidence(key):
    rows = _indel_reads()
    loci, extra, quality, _ = propose(rows, _REFERENCE, sites=_SITES)
    x = evidence(rows, pad_loci(loci, _CAPACITY), extra, quality)
    return dataclasses.replace(
        x,
        errors=_uniform(0.02, 0.3, *x.errors.shape)(key),
        mapping_quality=_uniform(5.0, 40.0, *x.weight.shape)(key),
        weight=_uniform(0.2, 1.0, *x.weight.shape)(key),
    )


def _poison_evidence(x):
    unused = (x.loci.segment_source == -1) | ~x.loci.segment_mask[:, None]
    off = ~x.loci.segment_mask
    return dataclasses.replace(
        x,
        errors=jnp.where(unused, NAN, x.errors),
        mapping_quality=jnp.where(off, NAN, x.mapping_quality),
        weight=jnp.where(off, NAN, x.weight),
    )


def _called(key):
    x = _evidence(key)
    likelihood = eqx.filter_jit(_indel_likelihood())
    base = (_REFERENCE[_SITES] + 1) % 4
    return CalledIndels(
        evidence=x,
        scores=likelihood(x),
        genotype=jnp.array([4, 0], jnp.int32),
        site_position=jnp.asarray(_SITES, jnp.int32),
        site_base=jnp.asarray(base.astype(np.uint8)),
    )


def _indel_likelihood():
    return IndelLikelihood(PairHMM(band=16, block=8))


VARIANT_OPERATORS: dict[str, Case] = {
    "quality_filter": Case(lambda: QualityFilter(20.0, 30.0), _qualities),
    "error_curve": Case(_curve, _uniform(5.1, 39.9, 5)),
    "mapping_error": Case(lambda: MappingError(1.2), _uniform(1.0, 60.0, 5)),
    "pileup": Case(Pileup, _weighted(random_window), poison=_poison_weighted),
    "soft_pileup": Case(Pileup, _weighted(soft_window), poison=_poison_weighted),
    "genotype_likelihood": Case(
        GenotypeLikelihood, lambda key: random_column(seed_of(key), padding=0)
    ),
    "genotype_prior": Case(
        GenotypePrior, lambda key: jax.random.randint(key, (), 0, 4), tolerance=1e-5
    ),
    "dense_likelihood": Case(DenseLikelihood, _with_errors, poison=_poison_weighted),
    "window_features": Case(
        WindowFeatures,
        lambda key: (
            random_pileup(seed_of(key)),
            jax.random.randint(key, (24,), 0, 5).astype(jnp.uint8),
        ),
    ),
    "classifier": Case(
        lambda: VariantClassifier(3, 5, 4, 3, key=jax.random.key(1)),
        lambda key: jax.random.normal(key, (3, 5)),
    ),
    "gap_model": Case(
        GapModel,
        lambda key: jax.random.randint(key, (12,), 0, 2).astype(jnp.uint8),
    ),
    "pair_hmm": Case(lambda: PairHMM(band=8), _read_on_haplotype, _poison_read),
    "indel_likelihood": Case(_indel_likelihood, _evidence, _poison_evidence, slow=True),
    "haplotype_rescoring": Case(
        lambda: HaplotypeRescoring(_indel_likelihood()),
        _called,
        lambda x: dataclasses.replace(x, evidence=_poison_evidence(x.evidence)),
        slow=True,
    ),
}
