"""Genotype order and the Phred numbers that a VCF derives from posteriors."""

import numpy as np
import pytest

from diffbio_eqx.data.variant_records import (
    VariantRecord,
    called_genotype,
    genotype_index,
    genotype_quality,
    genotypes,
    phred_likelihoods,
    variant_quality,
)


@pytest.mark.parametrize("alleles", [1, 2, 4])
@pytest.mark.parametrize("ploidy", [1, 2])
def test_genotype_order_is_that_of_the_vcf(alleles, ploidy):
    order = genotypes(alleles, ploidy)
    assert [genotype_index(g) for g in order] == list(range(len(order)))
    assert len(order) == (alleles if ploidy == 1 else alleles * (alleles + 1) // 2)


def test_genotype_order_written_out():
    assert genotypes(3) == ((0, 0), (0, 1), (1, 1), (0, 2), (1, 2), (2, 2))
    assert genotype_index((2, 1)) == 4


def test_other_ploidies_are_refused():
    with pytest.raises(ValueError, match="ploidy must be 1 or 2, got 3"):
        genotypes(2, 3)
    with pytest.raises(ValueError, match="1 or 2 alleles"):
        genotype_index((0, 0, 1))


def test_likelihoods_to_phred():
    log = np.log(np.array([[1e-3, 1e-5, 1e-8], [0.2, 0.1, 1e-300]]))
    assert phred_likelihoods(log).tolist() == [[0, 20, 50], [0, 3, 2993]]
    assert phred_likelihoods(log, maximum=255).tolist()[1] == [0, 3, 255]
    assert phred_likelihoods(np.float32(log[0])).tolist() == [0, 20, 50]


def test_qualities_come_from_the_posterior():
    gp = np.array([[0.01, 0.989, 0.001], [1e-30, 1e-30, 1.0], [1.0, 0.0, 0.0]])
    assert called_genotype(gp).tolist() == [1, 2, 0]
    assert genotype_quality(gp).tolist() == [20, 99, 99]
    assert genotype_quality(gp, maximum=1000).tolist() == [20, 297, 1000]
    np.testing.assert_allclose(variant_quality(gp), [20.0, 300.0, 0.0])
    assert variant_quality(gp, maximum=250.0).tolist()[1] == 250.0


def test_record_end_and_label():
    record = VariantRecord("c", 9, "ACG", ("A", "<*>"))
    assert record.end == 12 and record.label == "c:10 ACG>A,<*>"
    assert VariantRecord("c", 9, "A", (), info={"END": 40}).end == 40
