"""Losses of one item, which add and scale; auxiliary values in a dict."""

from diffbio_eqx.losses.genotype_loss import GenotypeLoss as GenotypeLoss
