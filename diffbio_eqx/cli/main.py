"""Entry point of the command `diffbio-eqx`."""

import importlib.util
import sys
from collections.abc import Sequence

_NEEDED = ("typer", "rich")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line on `arguments` (None: those of the process).

    **Returns** the exit code: 0 done, 1 a bug of ours, 2 wrong input or usage, 130
    interrupted. Whatever goes wrong is one line on standard error; the variable
    DIFFBIO_EQX_DEBUG=1 shows the traceback instead.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        print(
            f"error: the command line needs {' and '.join(missing)}: "
            "pip install 'diffbio-eqx[cli,genomics]'",
            file=sys.stderr,
        )
        return 2
    from diffbio_eqx.cli.app import run

    return run(sys.argv[1:] if arguments is None else list(arguments))
