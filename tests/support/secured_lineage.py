"""A lineage whose broker and store ask who you are: every process has a name, and the rights of the page alone."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from ol0.config import Settings, load_settings
from ol0.simulation.demo import demo_settings
from ol0.simulation.users import UserHabits
from ol0.stacks.ports import LOOPBACK
from ol0.supervisor.service_commands import SERVICES, service_commands
from ol0.supervisor.supervisor import Command, EventKind, Supervisor
from ol0.supervisor.supervisor import Event as ServiceEvent
from support.acl_table import PREFIX, rights, store_users
from support.secured_broker import Options, SecuredBroker
from support.store_servers import RIGHT, StoreServer, behind_tls
from testbed.lineages import KEYS, Tree

HABITS = UserHabits(rate_per_s=300.0)
OF_THE_STORE = {"feedback": "services", "learner": "services", "operator": "operator"}
PASSWORD = "its-own-password"  # noqa: S105 - of a test

LogIn = Callable[[SecuredBroker, str], tuple[str, Options]]
"""Door and options with which a principal comes in."""


def with_password(broker: SecuredBroker, principal: str) -> tuple[str, Options]:
    return broker.password_door, broker.with_password(principal, f"{PASSWORD}-of-{principal}")


def with_certificate(broker: SecuredBroker, principal: str) -> tuple[str, Options]:
    return broker.certificate_door, broker.with_certificate(principal, f"{PASSWORD}-of-{principal}")


@dataclass(frozen=True)
class SecuredLineage:
    """The settings files of everybody in a folder, each with its own way in."""

    folder: Path
    broker: SecuredBroker
    log_in: LogIn
    prefix: str
    store: StoreServer
    store_port: int
    store_certificate: Path

    def settings(self, principal: str, changes: Tree | None = None) -> Settings:
        return load_settings(self.config(principal, changes))

    def config(self, principal: str, changes: Tree | None = None) -> Path:
        """A settings file of this principal; only who needs the store knows a way in."""
        door, options = self.log_in(self.broker, principal)
        tree = {name: dict(section) for name, section in demo_settings(0, HABITS).items()}
        tree["kafka"] |= {"bootstrap_servers": door, "topic_prefix": self.prefix, "options": options}
        tree["serving"] |= {**KEYS, "base": str(self.folder / "base.safetensors")}
        tree["online_learning"] = {"lead_errors": 0.0}  # what few examples teach is no matter here
        tree["safety"] |= {"suite": str(self.folder / "suite.safetensors")}
        if principal in OF_THE_STORE:
            tree["redis"] = {"url": self.store_url(OF_THE_STORE[principal])}
        for section, values in (changes or {}).items():
            tree[section] = {**tree.get(section, {}), **values}
        path = self.folder / f"{principal}.json"
        path.write_text(json.dumps(tree))
        return path

    def store_url(self, user: str, password: str = PASSWORD) -> str:
        return f"rediss://{user}:{password}@{LOOPBACK}:{self.store_port}/0?ssl_ca_certs={self.store_certificate}"

    @contextmanager
    def services(self, names: Sequence[str] = SERVICES) -> Iterator[None]:
        """These services as processes, each with its own settings. None of them may die before the end."""
        deaths: list[str] = []

        def note(event: ServiceEvent) -> None:
            if event.kind is not EventKind.STARTED:
                deaths.append(f"{event.name} {event.kind.value}: {event.text}\n{self.log(event.name)[-2_000:]}")

        done = Event()
        with Supervisor([self.command(name) for name in names], on_event=note) as supervisor:
            thread = Thread(target=supervisor.run, args=(done,))
            thread.start()
            try:
                yield
            finally:
                done.set()
                thread.join()
        assert not deaths, "\n".join(deaths)

    def command(self, name: str) -> Command:
        """A service with its own settings."""
        (found,) = (one for one in service_commands(self.config(name), self.logs) if one.name == name)
        return found

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    def log(self, name: str) -> str:
        return (self.logs / f"{name}.log").read_text()


@contextmanager
def secured(folder: Path, log_in: LogIn) -> Iterator[SecuredLineage]:
    """A broker and a store with the rights of the page, and the settings of a lineage that is not there yet."""
    with (
        SecuredBroker(folder / "broker") as broker,
        StoreServer(folder / "store", *RIGHT) as store,
        behind_tls(folder, store) as (port, certificate),
    ):
        broker.allow(rights(PREFIX))
        make_store_users(store, PREFIX)
        yield SecuredLineage(folder, broker, log_in, PREFIX, store, port, certificate)


def make_store_users(server: StoreServer, prefix: str) -> None:
    """The users of the page."""
    for name, rules in store_users(prefix, PASSWORD).items():
        server.ask("ACL", "SETUSER", name, *rules)
