"""Work on the next blocks of a stream while the present one is counted and written."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import jax

Item = TypeVar("Item")
Made = TypeVar("Made")


def worked_ahead(
    work: Callable[[Item], Made], items: Iterable[Item], *, threads: int = 2
) -> Iterator[tuple[Item, Made]]:
    """`(item, work(item))` in order, with `threads` items in work at a time.

    `work` must not change anything. Items are drawn by the caller's thread, so that a
    stream may be read; at most `threads + 1` of them are held. Threads share the work
    as far as it is NumPy's or a compiled program's. An error comes out where its item
    would.
    """
    wide = jax.config.jax_enable_x64  # a setting of the caller's thread

    def one(item: Item) -> Made:
        with jax.enable_x64(wide):
            return work(item)

    waiting: deque[tuple[Item, Future[Made]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                waiting.append((item, pool.submit(one, item)))
                if len(waiting) > threads:
                    first, made = waiting.popleft()
                    yield first, made.result()
            while waiting:
                first, made = waiting.popleft()
                yield first, made.result()
        finally:
            for _, made in waiting:
                made.cancel()
