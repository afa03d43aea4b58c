"""What columns mean to a person is said in the same words, in the same order, everywhere."""

from dataclasses import fields
from inspect import signature

import pytest

from fullbatch import csv_sources, parquet_sources, table_sources
from fullbatch.data.columns import Roles
from fullbatch.data.files import _OPTIONS


@pytest.mark.parametrize("function", [csv_sources, parquet_sources, table_sources])
def test_functions_have_the_roles_as_keywords_with_their_defaults_and_in_their_order(function):
    roles = {role.name: role.default for role in fields(Roles)}
    keywords = {name: keyword.default for name, keyword in signature(function).parameters.items() if name in roles}
    assert list(keywords.items()) == list(roles.items())


@pytest.mark.parametrize("format", ["csv", "tsv", "parquet", "arrow", "orc"])
def test_formats_of_tables_have_the_roles_as_options(format):
    assert {role.name for role in fields(Roles)} <= set(_OPTIONS[format])


def test_wrong_roles_are_refused_before_any_table_is_seen():
    with pytest.raises(ValueError, match=r"exclude must be a list of columns, got the text 'a': write \['a'\]"):
        Roles(exclude="a")
    with pytest.raises(ValueError, match='missing must be "error", "drop", or a mapping of column to value, got'):
        Roles(missing="fill")
