"""How rows are cut into blocks: by the shape of the data alone, so that results depend on nothing else."""

import itertools
from bisect import bisect_right
from collections.abc import Sequence

from ..errors import DataError

# Up to 16 blocks keep the cores of most machines busy; a block is then at least `LEAST_VALUES` stored values, so that a
# small problem is not all overhead. What a block costs beside its products is a few times as much where its values are
# read from memory as where they are in cache, since little of the program is left there: more blocks, for larger
# machines, want `FULL_VALUES` each, and 16 times as many values as columns, so that reading them takes longer than
# making and adding a gradient. `MOST_VALUES`, or four for each column, are the most, so that a few blocks fit into any
# memory: large data has more blocks. Up to the usual number they are a power of two: shares of 2, 4, 8 workers are then
# equal, and each is one part of the summation tree.
ENOUGH_BLOCKS, USUAL_BLOCKS = 16, 64
LEAST_VALUES, FULL_VALUES, MOST_VALUES = 2**18, 2**21, 2**22
LEAST_PER_COLUMN, FULL_PER_COLUMN = 4, 16


def cut(
    n_rows: int,
    values_per_row: float,
    blocks: int | None = None,
    block_rows: int | None = None,
    columns: int = 0,
) -> list[tuple[int, int]]:
    """Neighbouring runs of rows, near-equal in length.

    Parameters
    ----------
    n_rows : int
        Rows of all the data.
    values_per_row : float
        Stored values in a row, on average.
    blocks : int, optional
        Number of blocks; never more than rows.
    block_rows : int, optional
        Or rows of a block, the last one may have fewer. Default: 16 blocks, or a smaller power of two so that each has
        at least 262,144 values; 32 or 64 where each has 2,097,152; more blocks where they would have more than
        4,194,304 values.
    columns : int
        Of sparse rows, which store few of them: with more than 16 blocks, each has about 16 times as many values; with
        more than 64, about 4 times as many.

    Returns
    -------
    list of (start, stop)
    """
    if blocks is not None and block_rows is not None:
        raise ValueError("give blocks or block_rows, not both")
    if n_rows == 0:
        raise DataError("no rows: the data is empty (0 sample(s)), at least one row is needed")
    if block_rows is not None:
        if block_rows < 1:
            raise ValueError(f"block_rows must be at least 1, got {block_rows}")
        return [(start, min(start + block_rows, n_rows)) for start in range(0, n_rows, block_rows)]
    if blocks is None:
        values_per_row = max(values_per_row, 1.0)
        width = max(columns, values_per_row)
        least_rows = max(1, round(LEAST_VALUES / values_per_row))
        full_rows = max(1, round(max(FULL_VALUES, FULL_PER_COLUMN * width) / values_per_row))
        most_rows = int(max(MOST_VALUES, LEAST_PER_COLUMN * width) / values_per_row)
        few = max(1, min(USUAL_BLOCKS, n_rows // least_rows, max(ENOUGH_BLOCKS, n_rows // full_rows)))
        blocks = max(2 ** (few.bit_length() - 1), -(-n_rows // most_rows))
    if blocks < 1:
        raise ValueError(f"blocks must be at least 1, got {blocks}")
    blocks = min(blocks, n_rows)
    edges = [n_rows * number // blocks for number in range(blocks + 1)]
    return list(itertools.pairwise(edges))


def cut_parts(part_rows: Sequence[int], pieces: Sequence[tuple[int, int]]) -> list[list[tuple[int, int, int]]]:
    """Blocks of all the rows, as what they take of each part (file, row group): neither need end where the other does.

    So the blocks, and with them the bits of a result, do not depend on how the rows are spread over files.

    Parameters
    ----------
    part_rows : sequence of int
        Rows of each part.
    pieces : sequence of (start, stop)
        Blocks of all the rows, as `cut` gives them.

    Returns
    -------
    list of list of (part, start, stop)
        For each block, rows `start` to `stop` within parts.
    """
    ends = list(itertools.accumulate(part_rows))
    blocks = []
    for start, stop in pieces:
        taken = []
        for part in range(bisect_right(ends, start), len(ends)):
            first = ends[part] - part_rows[part]
            if first >= stop:
                break
            if part_rows[part]:
                taken.append((part, max(start, first) - first, min(stop, ends[part]) - first))
        blocks.append(taken)
    return blocks
