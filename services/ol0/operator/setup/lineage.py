"""Everything that has to exist before the services of a lineage can start."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ol0.ar1.warmup import Imported
from ol0.canary.size import check_suite_size
from ol0.clock import wall_clock_ms
from ol0.config import Settings, Signer
from ol0.controller.chunks import split
from ol0.controller.controller import Controller
from ol0.controller.heads import Floats
from ol0.controller.signing import Keyring
from ol0.controller.suite import Suite, read_suite
from ol0.controller.warmup import Warmup, check_suite_share
from ol0.errors import ConfigError, StoreError
from ol0.feedback.service import SOURCES
from ol0.kafka import topic_admin
from ol0.kafka.lineage import Lineage
from ol0.kafka.ports import Log
from ol0.kafka.sending.record_sender import RecordSender
from ol0.kafka.topic_changes import Change
from ol0.operator.setup.base_folder import SUITE, SavedBase, write_base
from ol0.operator.setup.base_from_labels import prepare
from ol0.operator.setup.prompts import Split
from ol0.records import Chunk, Digest, Partition
from ol0.replay.anchors import AnchorStore
from ol0.replay.budget import MOST_OPEN, Budget
from ol0.replay.connection import connect
from ol0.replay.layout import NOBODY
from ol0.replay.registration import Admitted
from ol0.replay.server_checks import check_memory, open_store
from ol0.replay.store import ReplayStore
from ol0.wire.payloads import Payloads


@dataclass(frozen=True, slots=True)
class Applied:
    """What ``apply_topics`` did.

    Attributes:
        changes: in Kafka.
        begun_anew: source partitions of topics that were deleted and recreated since they were read.
        gone: names of those that such a topic has no more.
    """

    changes: Sequence[Change]
    begun_anew: Sequence[Partition]
    gone: Sequence[str]


def apply_topics(settings: Settings) -> Applied:
    """Makes the topics, and registers every source partition with its first offset in the store. Idempotent.

    This is also the order to continue with topics that were deleted and recreated.

    Raises:
        StreamError: Kafka refuses.
        StoreError: the store has wrong settings, another capacity, is out of reach, or was wiped.
    """
    changes = topic_admin.plan(settings)
    topic_admin.apply(settings, changes)
    client = open_store(settings.redis, settings.kafka.topic_prefix)
    store = ReplayStore(client, settings.kafka.topic_prefix)
    if not store.exists():
        _check_no_outcomes(settings)
    logs = topic_admin.source_partitions(settings, SOURCES)
    store.register(
        {partition: log.first_offset for partition, log in logs.items()},
        settings.online_learning.replay_size,
        settings.streaming.max_open or MOST_OPEN,  # until a feedback process knows how many fit
    )
    begun = [it for it, log in logs.items() if _begin(store, it, log) is Admitted.ANEW]
    gone = sorted(set(store.partitions()) - {str(partition) for partition in logs})
    for name in gone:
        store.registration.retire(Partition.parse(name))
    return Applied(changes, begun, gone)


def _begin(store: ReplayStore, partition: Partition, log: Log) -> Admitted:
    return store.registration.begin_anew(partition, log.topic_id, log.first_offset)


def _check_no_outcomes(settings: Settings) -> None:
    """Where outcomes were published there was a store: one that begins in silence would publish them once more."""
    lineage = Lineage.of(settings.kafka)
    topic = lineage.topics.full("outcomes")
    bounds = lineage.clients.bounds(topic, range(lineage.topics.spec("outcomes").partitions), topic_admin.TIMEOUT_S)
    if any(following for _, following in bounds.values()):
        raise StoreError(
            f"there is no replay store, but {topic} has outcomes: the store was wiped; `ol0 replay rebuild` makes it "
            "again from the logs"
        )


@dataclass(frozen=True, slots=True)
class Offered:
    """The digest of a base that was offered, and what is to be said of its suite's size, if anything."""

    digest: Digest
    few: str | None


def warm_up(settings: Settings, split: Split, out: Path, seed: int, checkpoint: bytes | None = None) -> Offered:
    """Brings a base in: trains it, puts the anchors into the store, writes its files, offers it as candidate 0.

    May be repeated with the same prompts and seed.

    Args:
        settings: of the lineage; its topics and its store exist.
        split: the prompts.
        out: folder of ``base.safetensors`` and ``suite.safetensors``.
        seed: of the training and of the anchors.
        checkpoint: a base that is there already; None: one is trained.

    Raises:
        ConfigError: the base fails its own suite, or that is too small to approve anything.
        StoreError: the store is too small for such prompts, or holds the anchors of another base.
    """
    epsilon, anchors = settings.serving.epsilon, settings.online_learning.anchors
    warmup = prepare(split, epsilon=epsilon, anchors=anchors, seed=seed, checkpoint=checkpoint)
    check_suite_share(warmup.suite_pass_share, settings.warmup.canary_threshold)
    few = check_suite_size(split.suite.best, settings.safety)
    _check_room(settings, split.base.features.shape[1])
    return Offered(offer_base(settings, warmup, lambda: write_base(out, warmup.checkpoint, (), split.suite, ())), few)


def bring_in_ar1(settings: Settings, imported: Imported, out: Path) -> Offered:
    """Brings an AR1 policy in as the base: puts the anchors into the store, writes its files, offers it as candidate 0.

    May be repeated with the same files.

    Args:
        settings: of the lineage; its topics and its store exist.
        imported: see ``WarmupManager.import_ar1``.
        out: folder of ``encoder``, ``base`` and, with a calibration file, ``suite``, all ``.safetensors``.

    Raises:
        ConfigError: the base fails its suite, or that is too small to approve anything, or there is none.
        StoreError: the store is too small for such prompts, or holds the anchors of another base.
    """
    share, best = _asked(settings, imported)
    check_suite_share(share, settings.warmup.canary_threshold)
    few = check_suite_size(best, settings.safety)
    _check_room(settings, imported.base.dimension)
    return Offered(offer_base(settings, imported.warmup(share), lambda: write_ar1(imported, out)), few)


def write_ar1(imported: Imported, out: Path) -> None:
    """Writes ``encoder``, ``base`` and, with a calibration file, ``suite`` and ``anchors``, all ``.safetensors``."""
    write_base(out, imported.base_file, imported.warmup(0.0).anchors, None, ())
    (out / "encoder.safetensors").write_bytes(imported.encoder_file)
    if imported.baseline is not None:
        imported.baseline.write_suite(out / SUITE)


def bring_in(settings: Settings, saved: SavedBase) -> Offered:
    """Brings in a base that ``ol0 base`` made: puts the anchors into the store, offers it as candidate 0.

    May be repeated with the same folder.

    Args:
        settings: of the lineage; its topics and its store exist.
        saved: what the folder holds.

    Raises:
        ConfigError: the base fails its suite, or that is too small to approve anything, or there is none.
        StoreError: the store is too small for such prompts, or holds the anchors of another base.
    """
    suite, warmup = saved.suite, saved.warmup
    if suite is None:
        suite = _own_suite(settings, saved.controller, "`ol0 base ... --labels FILE`")
        warmup = replace(warmup, suite_pass_share=suite.share(saved.controller))
    check_suite_share(warmup.suite_pass_share, settings.warmup.canary_threshold)
    few = check_suite_size(suite.best, settings.safety)
    _check_room(settings, saved.controller.dimension)
    return Offered(offer_base(settings, warmup), few)


def _check_room(settings: Settings, dimension: int) -> None:
    check_memory(open_store(settings.redis, settings.kafka.topic_prefix), Budget.of(settings, dimension))


def _asked(settings: Settings, imported: Imported) -> tuple[float, Floats]:
    """The base's share of the calibration file's suite, or of the host's own, and what its best answers are worth."""
    if imported.baseline is not None:
        return imported.baseline.metrics.canary_pass_rate, np.ones(len(imported.baseline.suite), np.float32)
    suite = _own_suite(settings, imported.base, "--calibration FILE")
    return suite.share(imported.base), suite.best


def _own_suite(settings: Settings, base: Controller, maker: str) -> Suite:
    """The suite that the settings name.

    Raises:
        ConfigError: it does not fit the base, or there is none; says what makes one.
    """
    try:
        suite = read_suite(settings.safety.suite)
    except ConfigError as error:
        raise ConfigError(f"{error}; {maker} makes one") from None
    if flaw := suite.misfit(base):
        raise ConfigError(f"canary suite {settings.safety.suite}: {flaw}; {maker} makes one that fits")
    return suite


def offer_base(settings: Settings, warmup: Warmup, write: Callable[[], None] | None = None) -> Digest:
    """Puts the anchors into the store, writes the files, offers the base as candidate 0; may be repeated.

    Args:
        settings: of the lineage.
        warmup: the base and its anchors.
        write: writes the base's files; None: they are there. Called only after the store has taken the anchors: the
            files of a lineage that runs with another base stay as they are.

    Raises:
        ConfigError: keys are configured, but not the learner's, which signs the base.
        StoreError: the store holds the anchors of another base.
    """
    keys = Keyring.of(settings.security, settings.kafka.topic_prefix, Signer.LEARNER)
    lineage = Lineage.of(settings.kafka)
    payloads = Payloads(lineage.codec)
    AnchorStore(connect(settings.redis), settings.kafka.topic_prefix).add_anchors(
        [(payloads.pack(anchor.decision, NOBODY), anchor.reward) for anchor in warmup.anchors]
    )
    if write is not None:
        write()
    candidate = warmup.candidate(wall_clock_ms())
    heads, chunks = split(candidate.heads)
    sender = RecordSender(lineage)
    for chunk in chunks.items():
        sender.send_all([Chunk(*chunk)])
    sender.send_all([keys.sign(replace(candidate, heads=heads))])
    return candidate.digest
