"""OL0: online learning for a routing controller, on Kafka and Redis."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ol0.ar1.warmup import WarmupManager as WarmupManager
    from ol0.serving.router import Router as Router

_PLACES = {
    "Router": "ol0.serving.router",
    "WarmupManager": "ol0.ar1.warmup",
}


def __getattr__(name: str) -> object:
    """Imports what is asked for when it is asked for: the services need not load the SDK, the SDK not the services."""
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'ol0' has no attribute {name!r}")
