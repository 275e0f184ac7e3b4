"""OL0: online learning for a routing controller, on Kafka and Redis."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ol0.serving.router import Router as Router


def __getattr__(name: str) -> object:
    """Imports the SDK when it is asked for: the services need not load it."""
    if name == "Router":
        from ol0.serving.router import Router  # noqa: PLC0415 - the point of this function

        return Router
    raise AttributeError(f"module 'ol0' has no attribute {name!r}")
