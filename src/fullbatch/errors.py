"""The errors users meet. Each says what is wrong, where, and what to do about it."""


class DataError(ValueError):
    """The data cannot be used as given: not a number, wrong labels, mismatched lengths, nothing there."""


class ModelError(ValueError):
    """The model cannot be trained on full batches: its loss is no sum over rows, or no function of theta alone."""


class ModelFileError(ValueError):
    """A saved file is damaged, foreign, or of a version this fullbatch does not read; or it, or the directory that a
    run's states are kept in, cannot be written.
    """


class DamagedError(ModelFileError):
    """A saved file is not whole, or not as it was written."""


class FitWarning(UserWarning):
    """What the reader of a fit should know of it: begins with a code in brackets, see `Result.notices`."""


class MissingExtraError(ImportError):
    """An optional package is needed and not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(package, extra, name=package)
        self.package, self.extra = package, extra

    def __str__(self) -> str:
        return f'this needs {self.package}, which is not installed: pip install "fullbatch[{self.extra}]"'


class BlockError(RuntimeError):
    """A block failed on its worker.

    Attributes
    ----------
    index : int
        Number of the block, counted from 0 over the whole data.
    source : str
        Where the block's rows come from.
    details : str
        The traceback as the worker saw it.
    """

    def __init__(self, index: int, source: str, details: str) -> None:
        super().__init__(index, source, details)
        self.index, self.source, self.details = index, source, details

    def __str__(self) -> str:
        return f"block {self.index} ({self.source}) failed on its worker:\n{self.details}"


class EngineError(RuntimeError):
    """The workers could not be had, or were lost."""
