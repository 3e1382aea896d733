"""Log-probabilities."""
