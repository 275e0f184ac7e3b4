import json
import os
import subprocess
import sys
from collections.abc import Mapping
from functools import cache

import pytest

REQUIRED = "OL0_REQUIRE_DOCKER"
RYUK_IMAGE = "testcontainers/ryuk"  # removes what a killed test process leaves; pulled on demand where there is a net


def require_docker() -> None:
    """Skip, with the reason, where no Docker engine answers; fail instead where one is required."""
    reason = why_no_engine()
    if reason is None:
        return
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{REQUIRED}=1, but {reason}", pytrace=False)
    pytest.skip(reason)


@cache
def why_no_engine() -> str | None:
    """What is wrong with Docker here, in words; None where it answers, compose plugin included."""
    for words, remedy in (
        (["info", "--format", "{{.ServerVersion}}"], "no Docker engine answers"),
        (["compose", "version"], "Docker has no compose plugin"),
    ):
        try:
            done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False, timeout=30)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"{remedy}: {error}"
        if done.returncode != 0:
            return f"{remedy}: {done.stderr.strip()}"
    return None


def environment_for_testcontainers() -> Mapping[str, str]:
    """The environment for a process that uses testcontainers: without ryuk where its image cannot be had locally."""
    names = docker("images", "--format", "{{.Repository}}").split()
    return dict(os.environ) if RYUK_IMAGE in names else {**os.environ, "TESTCONTAINERS_RYUK_DISABLED": "true"}


def docker(*words: str, environment: Mapping[str, str] | None = None) -> str:
    """Run a docker command and return what it prints; its complaints stand in the test's output when it fails."""
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        sys.stderr.write(done.stdout + done.stderr)
        pytest.fail(f"docker {' '.join(words)} ended with exit code {done.returncode}", pytrace=False)
    return done.stdout


def published_ports(container: str) -> list[str]:
    """``address:port`` of the host that lead into a container, by its id."""
    (found,) = json.loads(docker("inspect", container))
    bindings = found["NetworkSettings"]["Ports"].values()
    return sorted(f"{it['HostIp']}:{it['HostPort']}" for binding in bindings for it in binding or ())
