"""Anchors in the store."""

import pytest

from ol0.errors import StoreError
from support.ring import CAPACITY, Lineage


def test_anchors_come_back_as_they_went_in_and_may_be_added_twice(lineage: Lineage) -> None:
    anchors = [(b"first", 1.0), (b"second", 0.25)]

    lineage.anchors.add_anchors(anchors)
    lineage.anchors.add_anchors(anchors)

    assert lineage.buffer.anchors() == anchors


def test_other_anchors_are_refused_and_the_first_ones_stay(lineage: Lineage) -> None:
    lineage.anchors.add_anchors([(b"first", 1.0)])

    with pytest.raises(StoreError, match="1 other anchors"):
        lineage.anchors.add_anchors([(b"other", 1.0)])
    assert lineage.buffer.anchors() == [(b"first", 1.0)]


def test_live_traffic_never_evicts_anchors(lineage: Lineage) -> None:
    lineage.anchors.add_anchors([(b"first", 1.0)])
    lineage.add(3 * CAPACITY)

    assert lineage.buffer.anchors() == [(b"first", 1.0)]
