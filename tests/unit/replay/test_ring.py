import numpy as np

from ol0.replay.layout import RING_ENTRY
from ol0.replay.ring import RingMirror


def slots(*numbers: int) -> tuple[bytes, bytes]:
    """Priorities and entries of examples whose reward, priority and field are their number."""
    entries = np.array([(b"%029d" % number, number) for number in numbers], RING_ENTRY)
    return np.array(numbers, "<f4").tobytes(), entries.tobytes()


def test_new_examples_go_where_the_oldest_were() -> None:
    ring = RingMirror()
    ring.extend(3, 4, *slots(1, 2, 3))
    ring.extend(6, 4, *slots(4, 5, 6))

    assert ring.priorities.tolist() == [5, 6, 3, 4]
    assert ring.rewards(np.array([3, 0])).tolist() == [4, 5]
    assert (ring.head, ring.size) == (6, 4)


def test_a_store_that_went_back_is_mirrored_as_it_is() -> None:
    ring = RingMirror()
    ring.extend(4, 4, *slots(1, 2, 3, 4))

    ring.extend(2, 4, *slots(1, 2))

    assert ring.priorities.tolist() == [1, 2, 0, 0]
    assert ring.size == 2


def test_a_slot_holds_an_example_until_another_one_is_there() -> None:
    ring = RingMirror()
    ring.extend(2, 2, *slots(1, 2))
    fields = ring.fields(np.array([0, 1]))

    ring.extend(3, 2, *slots(3))

    assert ring.holds(np.array([0, 1]), fields).tolist() == [False, True]
