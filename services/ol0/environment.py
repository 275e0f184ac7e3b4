"""Which variables of the environment are settings: a variable with the prefix that is no setting is an error."""

import difflib
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from pydantic import BaseModel

from ol0.errors import ConfigError

PREFIX: Final = "OL0_"
BETWEEN: Final = "__"
OWN: Final = (
    "OL0_KILL",  # the SDK's emergency switch
    "OL0_CACHE",  # where downloads of the local stack are kept
    "OL0_CONSOLE_TOKEN",  # allows orders in `ol0 console`
    "OL0_KAFKA_PORT",  # of the compose stack
    "OL0_REQUIRE_DOCKER",  # and the rest: of the tests
    "OL0_TRIALS",
    "OL0_SEED",
    "OL0_SHRINK",
    "OL0_OUTAGE_S",
    "OL0_VISITS",
)
"""Variables with this prefix that are no settings."""
# Kubernetes puts them into every container for each service of the namespace whose name begins with "ol0-".
SERVICE_LINK: Final = re.compile(r"_SERVICE_HOST$|_SERVICE_PORT(_\w+)?$|_PORT_\d+_(TCP|UDP|SCTP)(_PROTO|_PORT|_ADDR)?$")


def check_environment(
    settings: type[BaseModel], environment: Mapping[str, str], removed: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Rejects variables that have the prefix but are not settings.

    Args:
        settings: the whole tree.
        environment: every variable.
        removed: settings that there were, as section.key, and what to do about each.

    Raises:
        ConfigError: names each, and the nearest right one.
    """
    known = [*OWN, *(f"{PREFIX}{name}" for name in _names(settings))]
    gone = {f"{PREFIX}{name.replace('.', BETWEEN)}".upper(): advice for name, advice in removed.items()}
    lines = []
    for name, value in sorted(environment.items()):
        upper = name.upper()
        if upper in gone:
            lines.append(f"\n  {name}: no setting any more: {gone[upper]}")
        elif upper.startswith(PREFIX) and not _is_known(upper, known) and not _is_service_link(upper, value):
            nearest = difflib.get_close_matches(upper, known, n=1, cutoff=0)[0]
            lines.append(f"\n  {name}: unknown variable; did you mean {nearest}?")
    if lines:
        raise ConfigError(f"environment:{''.join(lines)}")


def _names(settings: type[BaseModel]) -> Iterator[str]:
    """Every setting as a variable, without the prefix: whole sections too, which are JSON."""
    for section, field in settings.model_fields.items():
        yield section.upper()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            for key in field.annotation.model_fields:
                yield f"{section}{BETWEEN}{key}".upper()


def _is_known(name: str, known: list[str]) -> bool:
    """Also what lies below a setting of several parts: OL0_KAFKA__PARTITIONS__DECISIONS."""
    return name in known or any(one.count(BETWEEN) and name.startswith(one + BETWEEN) for one in known)


def _is_service_link(name: str, value: str) -> bool:
    return SERVICE_LINK.search(name) is not None or (name.endswith("_PORT") and "://" in value)
