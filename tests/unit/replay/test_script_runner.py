from importlib.resources import files

import pytest

from ol0.replay.layout import Key, store_key
from ol0.replay.script_runner import script_source

NAMES = sorted(
    path.name.removesuffix(".lua") for path in (files("ol0.replay") / "scripts").iterdir() if path.name != "prelude.lua"
)


def test_all_keys_of_a_lineage_share_one_hash_slot() -> None:
    assert store_key("ol0", Key.META) == "{ol0}:meta"


@pytest.mark.parametrize("name", NAMES)
def test_flags_stay_the_first_line_and_the_prelude_comes_before_the_script(name: str) -> None:
    source = script_source(name)

    assert source.startswith("#!lua flags=")
    assert source.index("unpack(KEYS)") < source.index("ARGV[1]")
