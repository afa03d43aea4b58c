"""Values that are no argument of anything."""


class Nothing:
    """An object without a meaning, whose text is the same in every process: tests are named by it."""

    def __repr__(self) -> str:
        return "Nothing()"
