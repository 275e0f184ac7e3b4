"""A real broker that asks who you are: SCRAM and client certificates over TLS, and an authorizer that knows ACLs."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public, but not marked as such for mypy
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from ol0.stacks.kafka import Cluster, Kafka
from ol0.stacks.ports import LOOPBACK, free_ports
from support.acl_table import EVERY, Right
from support.certificates import Authority, Identity

BROKER, ADMIN = "broker", "admin"
SCRAM: Final = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
ITERATIONS: Final = 4_096
ANSWER_S: Final = 10.0
TELLS_DECISIONS: Final = "-Dorg.slf4j.simpleLogger.log.kafka.authorizer.logger=debug"
DECISION: Final = re.compile(
    r"Principal = User:(?P<principal>\S+) is (?P<verdict>Allowed|Denied) operation = (?P<operation>\w+) from host = \S+"
    r" on resource = (?P<kind>\w+):LITERAL:(?P<name>\S+) for request = (?P<request>\w+)"
)
ANONYMOUS: Final = "ANONYMOUS"

Options = Mapping[str, str]


@dataclass(frozen=True, order=True)
class Decision:
    """What the authorizer said when somebody asked for something."""

    principal: str
    operation: str
    kind: str
    name: str
    request: str

    def is_covered_by(self, right: Right) -> bool:
        """Whether this right allows it; of a topic, every right but those about its settings includes Describe."""
        if (self.principal, self.kind.lower()) != (right.principal, right.kind.replace(" ", "").lower()):
            return False
        fits = self.name.startswith(right.name[:-1]) if right.name.endswith(EVERY) else self.name == right.name
        return fits and self.operation == _enum(right.operation)


class SecuredCluster(Cluster):
    """One node with three doors: one where nobody is asked for a name, one for certificates, one for passwords."""

    def settings(self, node: int) -> Mapping[str, str]:
        """The first door is where the stack asks whether the broker is up; no right is given to who comes in there."""
        plain = super().settings(node)
        doors = zip(("PLAINTEXT", "CERTIFICATE", "PASSWORD"), self.ports, strict=True)
        clients = ",".join(f"{name}://{LOOPBACK}:{port}" for name, port in doors)
        return {
            **plain,
            **{name: "1" for name in plain if name.endswith(("replication.factor", "min.isr"))},
            "listeners": f"{clients},CONTROLLER://{LOOPBACK}:{self.controller_ports[node]}",
            "advertised.listeners": clients,
        }


class SecuredBroker:
    """The broker, who may log in, and what its authorizer has decided."""

    def __init__(self, folder: Path) -> None:
        self._authority = Authority.new(folder / "certificates")
        self._cluster = SecuredCluster(Cluster.of(1).cluster_id, free_ports(3), free_ports(1))
        settings = _settings(self._authority, self._authority.issue(BROKER))
        self._kafka = Kafka(folder / "kafka", self._cluster, heap_mb=400, cache=None, settings=settings)
        self._lines = 0

    def __enter__(self) -> Self:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("JAVA_TOOL_OPTIONS", TELLS_DECISIONS)
            self._kafka.start()
        self._admin = AdminClient(
            {**self.with_certificate(ADMIN), "bootstrap.servers": self.certificate_door, "log_level": 0}
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._kafka.stop()

    @property
    def open_door(self) -> str:
        """Where nobody is asked for a name."""
        return f"{LOOPBACK}:{self._cluster.ports[0]}"

    @property
    def certificate_door(self) -> str:
        """Where a client certificate is the name."""
        return f"{LOOPBACK}:{self._cluster.ports[1]}"

    @property
    def password_door(self) -> str:
        """Where SCRAM-SHA-512 asks for name and password."""
        return f"{LOOPBACK}:{self._cluster.ports[2]}"

    def with_certificate(self, principal: str, password: str = "its passphrase") -> Options:  # noqa: S107 - of a test
        """Options of a client with a certificate of its own, whose key file is encrypted."""
        identity = self._authority.issue(principal, password)
        return {
            "security.protocol": "SSL",
            "ssl.ca.location": str(self._authority.certificate),
            "ssl.certificate.location": str(identity.certificate),
            "ssl.key.location": str(identity.key),
            "ssl.key.password": password,
        }

    def with_password(self, principal: str, password: str) -> Options:
        """Options of a client with a password, which the broker knows from now on."""
        credential = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, ITERATIONS)
        change = UserScramCredentialUpsertion(principal, credential, password.encode())
        for answer in self._admin.alter_user_scram_credentials([change]).values():
            answer.result(ANSWER_S)
        return {
            "security.protocol": "SASL_SSL",
            "sasl.mechanisms": "SCRAM-SHA-512",
            "ssl.ca.location": str(self._authority.certificate),
            "sasl.username": principal,
            "sasl.password": password,
        }

    def allow(self, rights: Iterable[Right]) -> None:
        """Adds these rights."""
        for answer in self._admin.create_acls([_binding(right) for right in rights]).values():
            answer.result(ANSWER_S)

    def withdraw(self, right: Right) -> None:
        """Takes one right away."""
        (answer,) = self._admin.delete_acls([_filter(right)]).values()
        assert len(answer.result(ANSWER_S)) == 1

    def decisions(self, verdict: str) -> set[Decision]:
        """Everything that was ``Allowed`` or ``Denied`` to those who are no administrators, so far."""
        found = map(DECISION.search, self._kafka.log.read_text(errors="replace").splitlines())
        return {
            Decision(*one.group("principal", "operation", "kind", "name", "request"))
            for one in found
            if one is not None and one["verdict"] == verdict and one["principal"] not in (BROKER, ADMIN)
        }


def _settings(authority: Authority, broker: Identity) -> Mapping[str, str]:
    return {
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CERTIFICATE:SSL,PASSWORD:SASL_SSL,CONTROLLER:SSL",
        "inter.broker.listener.name": "CERTIFICATE",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": f"User:{BROKER};User:{ADMIN}",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(broker.both),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.certificate),
        "ssl.client.auth": "required",
        "ssl.principal.mapping.rules": "RULE:^CN=(.*)$/$1/",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.password.scram-sha-512.sasl.jaas.config": SCRAM,
    }


def _enum(words: str) -> str:
    """As Kafka writes it: ``DescribeConfigs`` is ``DESCRIBE_CONFIGS``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", words.replace(" ", "_")).upper()


def _binding(right: Right) -> AclBinding:
    return AclBinding(*_resource(right), AclPermissionType.ALLOW)


def _filter(right: Right) -> AclBindingFilter:
    return AclBindingFilter(*_resource(right), AclPermissionType.ALLOW)


def _resource(right: Right) -> tuple[ResourceType, str, ResourcePatternType, str, str, AclOperation]:
    many = right.name.endswith(EVERY)
    return (
        ResourceType[_enum(right.kind)],
        right.name.removesuffix(EVERY),
        ResourcePatternType.PREFIXED if many else ResourcePatternType.LITERAL,
        f"User:{right.principal}",
        EVERY,
        AclOperation[_enum(right.operation)],
    )
