"""The version of this package, also where it runs from its sources, as in a container."""

from typing import Final

VERSION: Final = "0.1.0"
"""The same as in pyproject.toml."""
