"""The matrix of doors, meanings and kinds of values from a Ray Dataset, each of which is computed apart."""

import pytest
from doors import Door, table_sources
from matrix import faults_of


@pytest.mark.slow
def test_the_same_from_a_ray_dataset_or_an_error_that_helps(tmp_path, ray_session):
    from ray import data

    def hold(table, folder):
        return data.from_arrow([table.slice(0, 5), table.slice(5)])

    assert not faults_of(Door(hold, table_sources), tmp_path)
