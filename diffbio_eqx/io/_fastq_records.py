"""FASTQ lines to arrays, and what is wrong with them."""

import numpy as np

from diffbio_eqx.io._fastq_stream import FastqLines, FastqStream
from diffbio_eqx.io.fastq_block import FastqBlock

_PAD, _BAD, _OFFSET, _HIGHEST, _BUCKET = 7, 255, 33, 93, 32
_CUT_NAME = 60  # bytes of a name that an error shows


def _codes() -> bytes:
    table = bytearray([_BAD]) * 256
    for letters, code in (("A", 0), ("C", 1), ("G", 2), ("TU", 3), ("NRYSWKMBDHV.", 4)):
        for letter in letters + letters.lower():
            table[ord(letter)] = code
    return bytes(table)


_CODES = _codes()


def rows_of(text: np.ndarray, begin: np.ndarray, width: int) -> np.ndarray:
    """(R, width) bytes from each begin on; what follows the line is rubbish."""
    if len(text) < width:
        text = np.concatenate([text, np.zeros(width, np.uint8)])
    every = np.lib.stride_tricks.sliding_window_view(text, width)
    return every[np.minimum(begin, len(every) - 1)]


def block_of(stream: FastqStream, lines: FastqLines) -> FastqBlock:
    """Arrays of whole records; `ValueError` with the number of the first bad one."""
    first = stream.taken - len(lines.begin)
    _check_lines(stream, lines, first)
    lengths = lines.end[:, 1] - lines.begin[:, 1]
    longest = int(lengths.max(initial=1))
    width = -(-max(longest, 1) // _BUCKET) * _BUCKET
    text = lines.text
    room = int(lines.begin[:, 3].max(initial=0)) + width - len(text)
    if room > 0:
        text = np.concatenate([text, np.zeros(room, np.uint8)])
    letters = bytearray(rows_of(text, lines.begin[:, 1], width).tobytes())
    bases = np.frombuffer(letters.translate(_CODES), np.uint8).reshape(-1, width)
    qualities = rows_of(text, lines.begin[:, 3], width)
    qualities -= np.uint8(_OFFSET)
    shortest = int(lengths.min(initial=longest))
    bases[:, longest:], qualities[:, longest:] = _PAD, 0
    if shortest < longest:
        padding = np.arange(shortest, longest) >= lengths[:, None]
        np.copyto(bases[:, shortest:longest], _PAD, where=padding)
        np.copyto(qualities[:, shortest:longest], 0, where=padding)
    _check_letters(stream, lines, bases, qualities, first)
    return FastqBlock(
        bases,
        qualities,
        lengths,
        text,
        lines.begin,
        lines.end,
        lines.newline,
        first,
        None,
        stream.progress,
    )


def _name(lines: FastqLines, row: int | np.integer) -> str:
    header = lines.text[lines.begin[row, 0] : lines.end[row, 0]].tobytes()
    return repr(header[:_CUT_NAME].decode("ascii", "replace"))


def _check_lines(stream: FastqStream, lines: FastqLines, first: int) -> None:
    text, begin, end = lines.text, lines.begin, lines.end
    no_name = (text[begin[:, 0]] != ord("@")) | (end[:, 0] == begin[:, 0])
    no_plus = (text[begin[:, 2]] != ord("+")) | (end[:, 2] == begin[:, 2])
    bases, qualities = end[:, 1] - begin[:, 1], end[:, 3] - begin[:, 3]
    unequal = bases != qualities
    bad = no_name | no_plus | unequal
    if bad.any():
        row = int(bad.argmax())
        hint = "records of four lines are wanted"
        if no_name[row]:
            what = f"its first line begins with no '@': {_name(lines, row)}"
        elif no_plus[row]:
            what = f"its third line begins with no '+' ({_name(lines, row)})"
            hint = "sequences wrapped over lines are not read"
        else:
            what = (
                f"{bases[row]} bases and {qualities[row]} qualities "
                f"({_name(lines, row)})"
            )
            hint = "the file is damaged, or was cut and joined"
        stream.refuse_record(first + row, what, hint)
    # a name after the '+', if there is one, is the name of the read
    named = np.flatnonzero(end[:, 2] - begin[:, 2] > 1)
    if len(named):
        size = end[named, 0] - begin[named, 0]
        width = int(size.max())
        above = rows_of(text, begin[named, 0] + 1, width)
        below = rows_of(text, begin[named, 2] + 1, width)
        inside = np.arange(width) < size[:, None] - 1
        other = ((above != below) & inside).any(1)
        other |= end[named, 2] - begin[named, 2] != size
        if other.any():
            row = int(named[other.argmax()])
            plus = text[begin[row, 2] : end[row, 2]].tobytes()[:_CUT_NAME]
            stream.refuse_record(
                first + row,
                f"the name {_name(lines, row)} differs from the one after the '+', "
                f"{plus.decode('ascii', 'replace')!r}",
                "the file is damaged",
            )


def _check_letters(stream, lines, bases, qualities, first) -> None:
    if bases.max(initial=0) == _BAD:
        row, column = np.argwhere(bases == _BAD)[0]
        letter = chr(lines.text[lines.begin[row, 1] + column])
        stream.refuse_record(
            first + int(row),
            f"{letter!r} is no base ({_name(lines, row)}, base {column + 1})",
            "A, C, G, T, U, N and the other IUPAC codes are",
        )
    if qualities.max(initial=0) > _HIGHEST:
        row, column = np.argwhere(qualities > _HIGHEST)[0]
        letter = chr(lines.text[lines.begin[row, 3] + column])
        stream.refuse_record(
            first + int(row),
            f"{letter!r} is no quality ({_name(lines, row)}, base {column + 1})",
            "qualities are the characters from '!' to '~'",
        )
