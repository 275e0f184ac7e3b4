"""Jars from Maven repositories, through jgo. Imported only when there is something to fetch.

Where they come from is jgo's business and stays so: the user's local Maven repository, then the repositories in the
user's jgo settings (a mirror, say), then jgo's default.
"""

from pathlib import Path

import jgo
from jgo.config import GlobalSettings
from jgo.maven import MavenContext

from ol0.errors import StackError


def runtime_coordinates(programs: str) -> list[str]:
    """What programs need to run: their own jars and every runtime dependency, sorted.

    Args:
        programs: ``group:artifact:version``, several joined by ``+``.
    """
    artifacts = jgo.resolve(programs)
    return sorted({f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}" for artifact in artifacts})


def fetch(coordinate: str, folder: Path) -> Path:
    """Find or download one jar; its bytes are not checked here.

    Args:
        coordinate: ``group:artifact:version``.
        folder: Where a download goes. Not to be shared: jgo writes in place.

    Returns:
        The jar: in ``folder``, or in the user's local Maven repository.

    Raises:
        StackError: No repository answers or has it.
    """
    settings = GlobalSettings.load()
    context = MavenContext(repo_cache=folder, local_repos=[settings.repo_cache])
    context.remote_repos = {**settings.repositories, **context.remote_repos}
    try:
        return context.create_dependency(coordinate).artifact.resolve()
    except (OSError, RuntimeError) as error:  # what requests and jgo raise
        raise StackError(
            f"cannot download {coordinate}: {error}. Is there a network? Behind a mirror, name it under [repositories] "
            "in jgo's settings file; without a network, copy the cache folder from a machine that has the jars and set "
            "OL0_CACHE to it"
        ) from error
