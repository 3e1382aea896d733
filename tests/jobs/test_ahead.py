"""Blocks worked on ahead of their turn."""

import threading

import jax
import jax.numpy as jnp
import pytest

from diffbio_eqx.jobs.ahead import worked_ahead


def test_order_is_kept_and_few_items_are_held():
    drawn, first = [], threading.Event()

    def items():
        for k in range(20):
            drawn.append(k)
            yield k

    def work(k):
        if k == 0:
            first.wait(5)  # the others are done before it
        else:
            first.set()
        return k * k

    for count, (item, made) in enumerate(worked_ahead(work, items(), threads=2)):
        assert (item, made) == (count, count**2)
        assert len(drawn) <= count + 3
    assert count == 19


def test_an_error_comes_where_its_item_would():
    done = []

    def work(k):
        if k == 3:
            raise ValueError("record 3")
        return k

    with pytest.raises(ValueError, match="record 3"):
        for item, _ in worked_ahead(work, range(9)):
            done.append(item)
    assert done == [0, 1, 2]

    def broken():
        yield 1
        raise ValueError("the file ends")

    with pytest.raises(ValueError, match="the file ends"):
        list(worked_ahead(work, broken()))


@pytest.mark.parametrize("wide", [False, True])
def test_threads_compute_as_the_caller_does(wide):
    with jax.enable_x64(wide):
        made = dict(worked_ahead(lambda k: jnp.ones(()) * k, [2, 3]))
    assert {x.dtype for x in made.values()} == {jnp.dtype(f"float{64 if wide else 32}")}
