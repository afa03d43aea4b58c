"""Sources from a Ray Dataset: its blocks are read by the workers from the object store."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ..errors import DataError, MissingExtraError
from .columns import check_there

try:
    import ray
except ImportError as error:
    raise MissingExtraError("ray", "ray") from error


@dataclass(frozen=True, eq=False)
class DatasetBlock:
    """A block of a materialized Ray Dataset.

    Parameters
    ----------
    number : int
        Of the block within the dataset.
    ref : ray.ObjectRef
        Its Arrow table in the object store.
    rows, nbytes : int
        How many rows it has, and what they take there.
    """

    number: int
    ref: Any
    rows: int
    nbytes: int

    first_row = 0

    @property
    def where(self) -> str:
        """What it is read from."""
        return f"block {self.number} of the Ray Dataset"

    def decode(self, names: list[str]) -> pa.Table:
        """These columns of its rows, without a copy where the block is on this node."""
        try:
            table: pa.Table = ray.get(self.ref)
        except ray.exceptions.ObjectLostError as error:
            raise DataError(
                f"{self.where} is lost and Ray cannot make it again: {str(error).strip().splitlines()[0]}. Datasets "
                "of files can be made again, those of objects of the driver (from_pandas, from_arrow, from_items) "
                "cannot: write them to Parquet once"
            ) from None
        check_there(names, table.column_names, self.where)
        return table.select(names)


def dataset_blocks(dataset: Any) -> tuple[list[DatasetBlock], list[pa.Schema]]:
    """The blocks of a Ray Dataset in the order of its rows, and the columns of each.

    The dataset is executed once, with its order kept, and stays in the object store for as long as the blocks are
    referred to.
    """
    options = dataset.context.execution_options
    kept, options.preserve_order = options.preserve_order, True  # else blocks come in the order they are done in
    try:
        refs = dataset.materialize().to_arrow_refs()
    finally:
        options.preserve_order = kept
    told = ray.get([_shape.remote(ref) for ref in refs])
    filled = [(number, ref, shape) for number, (ref, shape) in enumerate(zip(refs, told, strict=True)) if shape[0]]
    if not filled:
        raise DataError("no rows: the Ray Dataset is empty, at least one row is needed")
    blocks = [DatasetBlock(number, ref, rows, nbytes) for number, ref, (rows, nbytes, _) in filled]
    return blocks, [schema for _, _, (_, _, schema) in filled]


@ray.remote(num_cpus=0)
def _shape(table: pa.Table) -> tuple[int, int, pa.Schema]:
    return table.num_rows, table.nbytes, table.schema
