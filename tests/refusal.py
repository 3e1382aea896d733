"""What every refused run of the command line has in common."""


def assert_refused(outcome, *words):
    """One line `error: ...` that has `words`, exit code 2, and no file left behind."""
    done, left = outcome
    assert done.code == 2, done.err
    assert len(done.lines) == 1, done.err
    assert done.err.startswith("error: ") and "Traceback" not in done.err
    for word in words:
        assert word in done.err
    assert left == []
