"""The command line `diffbio-eqx`: it parses, calls one job, and prints."""
