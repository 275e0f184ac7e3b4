"""What ``ol0 releases`` prints."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ol0.controller.checkpoint import Opener, read_checkpoint
from ol0.controller.chunks import size_of
from ol0.controller.signing import Keyring
from ol0.errors import CheckpointError
from ol0.operator.releases.history import History
from ol0.operator.text import moment
from ol0.records import Candidate, Digest, ServingState, Transition, Verdict, short
from ol0.release.state import verdict_head


def list_page(history: History, limit: int) -> RenderableType:
    """The newest transitions, oldest first, and what serves."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("time", "digest", "step", "became", "cause"):
        table.add_column(column, overflow="fold")
    serves = _serving_roles(history.state)
    for transition in history.transitions[-limit:]:
        digest = Text(short(transition.digest), style="bold" if transition.digest in serves else "")
        became = f"{transition.from_phase or 'new'} -> {transition.to_phase}"
        cause = Text(transition.cause)  # causes quote what others wrote: no markup in them
        table.add_row(moment(transition.time_ms), digest, str(transition.step), became, cause)
    earlier = len(history.transitions) - limit
    head = [Text(f"{earlier:,} earlier: --limit {len(history.transitions)} shows all")] if earlier > 0 else []
    return Group(*head, table, Text(), *(Text(line) for line in _serving_lines(history.state)))


def list_json(history: History, limit: int) -> str:
    """The same for machines."""
    state = history.state
    serving = None
    if state is not None:
        serving = {
            "sequence": state.sequence,
            "mode": state.mode,
            "frozen": state.frozen,
            "failures": state.failures,
            "base": state.base.digest,
            "live": state.live.digest,
            "live_step": state.live.step,
            "staged": None if state.staged is None else state.staged.release.digest,
        }
    transitions = [asdict(transition) for transition in history.transitions[-limit:]]
    return json.dumps({"serving": serving, "transitions": transitions}, indent=2)


def show_page(history: History, digest: Digest, keys: Keyring, opener: Opener = read_checkpoint) -> RenderableType:
    """One checkpoint: what it says of itself, its training, its verdicts, its life."""
    copies = [one for one in history.candidates if one.digest == digest]
    # Another writer may have put a copy under its name: the genuine one comes last.
    candidates = sorted(copies, key=lambda one: keys.flaw(one) is None)
    verdicts = [one for one in history.verdicts if one.digest == digest]
    life = [one for one in history.transitions if one.digest == digest]
    role = _serving_roles(history.state).get(digest)
    return Group(
        Text(f"checkpoint {digest}", style="bold"),
        Text(f"  serves as {role}" if role else "  does not serve"),
        *_lines(_candidate_lines(candidates[-1], keys, opener) if candidates else ["  no longer on the log"]),
        Text(),
        Text("verdicts", style="bold"),
        *_lines(line for verdict in verdicts for line in _verdict_lines(verdict, keys)),
        Text(),
        Text("life", style="bold"),
        *_lines(map(_transition_line, life)),
    )


def _candidate_lines(candidate: Candidate, keys: Keyring, opener: Opener) -> Iterator[str]:
    try:
        size = size_of(candidate.heads)
        yield f"  offered {moment(candidate.time_ms)}, {size:,} bytes; {_signature(candidate, keys)}"
        controller = opener(candidate.heads, candidate.digest)
    except CheckpointError as error:
        yield f"  {error}"
        return
    manifest = controller.manifest
    yield f"  base {manifest.base or 'itself'}"
    yield f"  parent {manifest.parent or 'itself'}"
    parts = ", ".join(f"{part} of {choices}" for part, choices in zip(manifest.parts, controller.choices, strict=True))
    encoder = "" if manifest.encoder is None else f", encoder {manifest.encoder}"
    yield f"  step {manifest.step}; {controller.dimension} features; {parts}; epsilon {manifest.epsilon:g}{encoder}"
    yield "training"
    for name, figure in sorted(candidate.summary.items()):
        yield f"  {name:24} {figure:.6g}"


def _verdict_lines(verdict: Verdict, keys: Keyring) -> Iterator[str]:
    yield f"  {moment(verdict.time_ms)}  {verdict_head(verdict)}; {_signature(verdict, keys)}"
    yield from (f"    {reason.check}: {reason.text}" for reason in verdict.reasons)


def _transition_line(transition: Transition) -> str:
    became = f"{transition.from_phase or 'new'} -> {transition.to_phase}"
    return f"  {moment(transition.time_ms)}  {became}: {transition.cause}"


def _signature(record: Candidate | Verdict, keys: Keyring) -> str:
    if record.signature is None and not keys.trusted:
        return "not signed"
    if not keys.trusted:
        return "signed; security.trusted names no keys to check it with"
    return keys.flaw(record) or "signed by a trusted key"


def _serving_roles(state: ServingState | None) -> dict[Digest, str]:
    if state is None:
        return {}
    staged = {} if state.staged is None else {state.staged.release.digest: f"staged, {state.staged.share:.0%}"}
    return {**staged, state.live.digest: "live", state.base.digest: "base"} | (
        {state.live.digest: "live and base"} if state.live.digest == state.base.digest else {}
    )


def _serving_lines(state: ServingState | None) -> Iterator[str]:
    if state is None:
        yield "nothing serves yet"
        return
    yield f"live    {state.live.digest} (step {state.live.step})"
    yield f"base    {state.base.digest}"
    if state.staged is not None:
        release, share = state.staged.release, state.staged.share
        yield f"staged  {release.digest} (step {release.step}), {share:.0%} of the sessions, stage {state.staged.stage}"
    yield f"mode {state.mode}, {'frozen' if state.frozen else 'not frozen'}, {state.failures} failures in a row"


def _lines(lines: Iterable[str]) -> list[Text]:
    return [Text(line) for line in lines]
