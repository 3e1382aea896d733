"""Compiled programs are kept on disk, so that a second run starts at once."""


def keep_compiled_programs() -> None:
    """Switch on JAX's compilation cache; DIFFBIO_EQX_CACHE=off leaves it off."""
    from diffbio_eqx.jobs.compilation_cache import use_compilation_cache

    use_compilation_cache()
