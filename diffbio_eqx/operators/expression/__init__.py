"""Operators of Differential Expression, each on one `GeneTable`."""
