"""Compiled programs are kept on disk, so that a second run starts at once."""

import importlib.util
import os


def keep_compiled_programs() -> None:
    """Switch on JAX's compilation cache; DIFFBIO_EQX_NO_CACHE=1 leaves it off."""
    if os.environ.get("DIFFBIO_EQX_NO_CACHE", "") not in ("", "0"):
        return
    if importlib.util.find_spec("diffbio_eqx.jobs.compilation_cache") is None:
        return
    from diffbio_eqx.jobs.compilation_cache import use_compilation_cache

    use_compilation_cache()
