"""Where compiled programs are kept."""

import jax
import pytest

from diffbio_eqx.jobs.compilation_cache import use_compilation_cache


@pytest.fixture(autouse=True)
def _no_cache(monkeypatch, tmp_path):
    before = {
        name: getattr(jax.config, name)
        for name in (
            "jax_compilation_cache_dir",
            "jax_persistent_cache_min_compile_time_secs",
        )
    }
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.delenv("DIFFBIO_EQX_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def test_default_is_the_users_cache_folder(tmp_path):
    folder = use_compilation_cache()
    assert folder == tmp_path / "home" / ".cache" / "diffbio-eqx" / "compiled"
    assert folder.is_dir()
    assert jax.config.jax_compilation_cache_dir == str(folder)


def test_xdg_folder_counts_only_if_absolute(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert use_compilation_cache() == tmp_path / "xdg" / "diffbio-eqx" / "compiled"
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    folder = use_compilation_cache()
    assert folder == tmp_path / "home" / ".cache" / "diffbio-eqx" / "compiled"


@pytest.mark.parametrize("value", ["off", "0", "", "No"])
def test_can_be_switched_off(monkeypatch, value):
    monkeypatch.setenv("DIFFBIO_EQX_CACHE", value)
    assert use_compilation_cache() is None
    assert jax.config.jax_compilation_cache_dir is None


def test_own_folder_and_a_cache_that_is_set_already(monkeypatch, tmp_path):
    monkeypatch.setenv("DIFFBIO_EQX_CACHE", str(tmp_path / "own"))
    assert use_compilation_cache() == tmp_path / "own"
    monkeypatch.setenv("DIFFBIO_EQX_CACHE", str(tmp_path / "other"))
    assert use_compilation_cache() == tmp_path / "own"
    assert not (tmp_path / "other").exists()


def test_a_folder_that_cannot_be_made_is_no_failure(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DIFFBIO_EQX_CACHE", str(tmp_path / "file" / "below"))
    assert use_compilation_cache() is None
    assert jax.config.jax_compilation_cache_dir is None
