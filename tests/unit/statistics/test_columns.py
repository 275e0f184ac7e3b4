from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ol0.statistics.columns import pack_columns, unpack_columns

ROWS = st.tuples(st.none() | st.floats(0, 1), st.booleans(), st.none() | st.text(max_size=3))


@given(st.lists(ROWS, min_size=1, max_size=50))
def test_columns_give_the_same_rows_back_to_the_bit(rows: list[tuple[float | None, bool, str | None]]) -> None:
    assert list(unpack_columns(pack_columns(rows))) == rows


def test_no_rows_have_no_columns() -> None:
    assert list(unpack_columns(pack_columns([]))) == []


def test_a_column_that_points_beyond_its_values_is_refused() -> None:
    (column,) = pack_columns([(1,), (2,)])
    with pytest.raises(ValueError, match="points beyond its 1 values"):
        list(unpack_columns([replace(column, values=[1])]))
