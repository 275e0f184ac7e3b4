"""Kafka and a store that run already, such as those of docker-compose.yml."""

from pathlib import Path
from typing import Self

from ol0.config import load_settings
from ol0.secrets import masked_url


class EnvironmentStack:
    """A ``Stack`` that ``OL0_KAFKA__BOOTSTRAP_SERVERS`` and ``OL0_REDIS__URL`` name. It starts and stops nothing.

    Raises:
        ConfigError: a variable is wrong.
    """

    def __init__(self, _root: Path) -> None:
        settings = load_settings(None)
        self.bootstrap_servers = settings.kafka.bootstrap_servers
        # The settings file of a run gets this one; the environment, where the password is, goes over the file.
        self.redis_url = masked_url(settings.redis.url.get_secret_value())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        """Leaves both as they are: the topics and keys of a run have a prefix of their own."""
