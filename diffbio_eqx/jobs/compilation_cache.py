"""Compiled programs kept on disk, so that a second run need not compile."""

import os
from pathlib import Path

import jax

_OFF = ("", "0", "off", "no", "none", "false")


def use_compilation_cache() -> Path | None:
    """Switch on JAX's compilation cache for this process; for applications.

    The folder is `$DIFFBIO_EQX_CACHE`, else `diffbio-eqx/compiled` in
    `$XDG_CACHE_HOME` or `~/.cache`. `DIFFBIO_EQX_CACHE=off` (or `0`, `no`, `none`,
    empty) leaves it off. A cache that the user gave to JAX itself stays as it is, and
    where the folder cannot be written there is none: a run never fails for its cache.

    **Returns** the folder in use, or None.
    """
    if jax.config.jax_compilation_cache_dir:
        return Path(jax.config.jax_compilation_cache_dir)
    folder = _folder()
    if folder is None:
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    if not os.access(folder, os.W_OK | os.X_OK):
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    return folder


def _folder() -> Path | None:
    asked = os.environ.get("DIFFBIO_EQX_CACHE")
    if asked is not None:
        return None if asked.strip().lower() in _OFF else Path(asked).expanduser()
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG rules: a path that is not absolute counts as not given.
    if os.path.isabs(base):
        return Path(base) / "diffbio-eqx" / "compiled"
    try:
        return Path.home() / ".cache" / "diffbio-eqx" / "compiled"
    except RuntimeError:
        return None
