import json
import struct

import numpy as np
import pytest

from ol0.ar1.policy import SERVED, TAU, WEIGHTS
from ol0.controller.checkpoint import digest_of, read_checkpoint, write_checkpoint
from ol0.controller.controller import Controller, Manifest
from ol0.controller.heads import Head, Mixer
from ol0.controller.hysteresis import Hysteresis
from ol0.errors import CheckpointError

D, CHOICES = 6, (3, 2, 3, 4)
PARTS = ("expert", "scope", "span", "rank")
RNG = np.random.default_rng(3)
HEADS = tuple(Head(RNG.normal(size=(k, D)).astype(np.float32), RNG.normal(size=k).astype(np.float32)) for k in CHOICES)
PROMPTS = RNG.normal(size=(500, D)).astype(np.float32)
PREVIOUS = np.stack([RNG.integers(k, size=500) for k in CHOICES], axis=1)


def written(hysteresis: Hysteresis | None) -> bytes:
    return write_checkpoint(Manifest(None, None, 0, PARTS, 0.1, None, hysteresis), HEADS, HEADS, Mixer.closed(D))


def base(hysteresis: Hysteresis | None) -> Controller:
    return read_checkpoint(written(hysteresis))


def test_a_base_from_ar1_keeps_and_flips_as_ar1_does_at_its_serving_temperature() -> None:
    controller = base(SERVED)
    heated = tuple(head.logits(PROMPTS) / np.float32(0.1) for head in HEADS)
    expected = Hysteresis(WEIGHTS, TAU).taken(heated, controller.greedy(PROMPTS), PREVIOUS)
    found = controller.greedy(PROMPTS, PREVIOUS)
    np.testing.assert_array_equal(found, expected)


def test_a_larger_tau_keeps_more_and_all_parts_move_or_none() -> None:
    shares = []
    for tau in (0.05, 0.5, 1.0):
        found = base(Hysteresis(SERVED.weights, tau)).greedy(PROMPTS, PREVIOUS)
        best = base(None).greedy(PROMPTS)
        kept, moved = (found == PREVIOUS).all(axis=1), (found == best).all(axis=1)
        assert (kept | moved).all()
        shares.append(kept.mean())
    assert 0 < shares[0] < shares[1] < shares[2] < 1


def test_without_a_previous_action_or_a_setting_nothing_changes() -> None:
    plain = base(None).greedy(PROMPTS)
    np.testing.assert_array_equal(base(SERVED).greedy(PROMPTS), plain)
    np.testing.assert_array_equal(base(None).greedy(PROMPTS, PREVIOUS), plain)


def test_one_prompt_is_decided_as_it_is_among_many() -> None:
    controller = base(Hysteresis(SERVED.weights, 0.5))
    many = controller.greedy(PROMPTS, PREVIOUS)
    for row in range(50):
        np.testing.assert_array_equal(controller.greedy(PROMPTS[row], PREVIOUS[row]), many[row])


def test_a_previous_choice_without_any_share_is_left() -> None:
    heads = tuple(Head(np.zeros((k, D), np.float32), np.arange(k, dtype=np.float32) * 500) for k in CHOICES)
    manifest = Manifest(None, None, 0, PARTS, 0.1, None, Hysteresis(SERVED.weights, 0.5))
    controller = read_checkpoint(write_checkpoint(manifest, heads, heads, Mixer.closed(D)))
    found = controller.greedy(PROMPTS[0], np.zeros(4, np.intp))
    assert found.tolist() == [k - 1 for k in CHOICES]


def test_a_checkpoint_keeps_the_setting_and_one_without_does_not_speak_of_it() -> None:
    setting = Hysteresis((0.4, 0.2, 0.2, 0.2), 0.05)
    assert base(setting).manifest.hysteresis == setting
    assert b"hysteresis" not in written(None)
    assert digest_of(written(setting)) != digest_of(written(None))


@pytest.mark.parametrize(
    "value",
    [
        "null",
        "0.5",
        '{"tau": 0.5}',
        '{"tau": 0.5, "weights": [1, 1, 1]}',
        '{"tau": 0.5, "weights": [1, 1, 1, 1], "more": 1}',
        '{"tau": -0.5, "weights": [1, 1, 1, 1]}',
        '{"tau": 1e999, "weights": [1, 1, 1, 1]}',
        '{"tau": true, "weights": [1, 1, 1, 1]}',
        '{"tau": 0.5, "weights": [1, 1, 1, -1]}',
        '{"tau": 0.5, "weights": [1, 1, 1, "1"]}',
    ],
)
def test_a_setting_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(CheckpointError, match="is not a tau and 4 weights, one per part, each 0 or more"):
        read_checkpoint(with_setting(value))


def with_setting(value: str) -> bytes:
    """The checkpoint with this text as its setting."""
    data = written(SERVED)
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    fields = json.loads(header["__metadata__"]["ol0"])
    del fields["hysteresis"]
    header["__metadata__"]["ol0"] = f'{json.dumps(fields)[:-1]}, "hysteresis": {value}}}'
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]
