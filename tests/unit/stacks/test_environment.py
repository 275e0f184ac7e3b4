import json
from pathlib import Path

import pytest

from ol0.config import load_settings
from ol0.stacks.environment import EnvironmentStack


def test_a_run_goes_to_the_servers_of_the_environment_and_writes_no_password(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Given servers in the environment, the store with a password
    monkeypatch.setenv("OL0_KAFKA__BOOTSTRAP_SERVERS", "kafka:29092")
    monkeypatch.setenv("OL0_REDIS__URL", "redis://:geheim@valkey:6379/0")
    # When a run writes what its stack says into its settings file
    with EnvironmentStack(tmp_path) as stack:
        tree = {"kafka": {"bootstrap_servers": stack.bootstrap_servers}, "redis": {"url": stack.redis_url}}
    path = tmp_path / "ol0.json"
    path.write_text(json.dumps(tree))
    # Then the password is not in it, and those who read it in this environment have it all the same
    assert "geheim" not in path.read_text()
    settings = load_settings(path)
    assert settings.kafka.bootstrap_servers == "kafka:29092"
    assert settings.redis.url.get_secret_value() == "redis://:geheim@valkey:6379/0"
