"""The version of the installed package."""

import importlib.metadata

try:
    __version__ = importlib.metadata.version("diffbio_eqx")
except importlib.metadata.PackageNotFoundError:  # run from a source tree
    __version__ = "0.1.0"
