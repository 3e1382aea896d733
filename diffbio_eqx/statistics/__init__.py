"""Statistics that are no model: multiple testing, smoothing, tail probabilities."""
