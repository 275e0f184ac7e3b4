"""``ol0 base``: makes a base out of labels, a linear layer, a torch network or an AR1 checkpoint."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ol0.cli.command import Config, explained, logging_apart
from ol0.cli.lineage import DryRun, with_calibration
from ol0.errors import ConfigError
from ol0.records import brief

if TYPE_CHECKING:
    from ol0.config import Settings
    from ol0.operator.setup.base import Base
    from ol0.operator.setup.labelled_file import Labelled
    from ol0.operator.setup.network import Network, Trainable

app = typer.Typer()
base_app = typer.Typer(
    no_args_is_help=True,
    help="Make a base, its canary suite and its anchors out of what you have. `ol0 warmup FOLDER` brings them in.",
)
app.add_typer(base_app, name="base", rich_help_panel="Set up")

Out = Annotated[Path, typer.Option(help="Folder for base.safetensors, suite.safetensors and anchors.safetensors.")]
Seed = Annotated[int, typer.Option(help="Random seed of the split, the training and the anchors.")]
LabelFile = Annotated[
    Path | None,
    typer.Option(
        "--labels",
        help="Labelled prompts (.npz, .csv, .parquet) for the canary suite and the anchors: see `from-labels`.",
    ),
]
LetTrain = Annotated[
    bool,
    typer.Option("--trainable", help="Let the learner train a copy of the hidden layers too: it needs `ol0[torch]`."),
]
OUT = Path("base")


@base_app.command("from-labels")
def from_labels(
    file: Annotated[Path, typer.Argument(help="Labelled prompts: .npz, .csv or .parquet.", show_default=False)],
    out: Out = OUT,
    config: Config = None,
    seed: Seed = 0,
    dry_run: DryRun = False,  # noqa: FBT002 - how typer writes a flag
) -> None:
    """Train a linear router on labelled prompts.

    An .npz holds X (n, D) and y (n,), the right choice, or P (n, K), what every choice is worth within 0..1; kind (n,)
    is optional. A .csv or .parquet has the columns embedding, a list, or x0, x1, ...; label, or p_NAME for every
    choice; and optionally kind.

    Example: `ol0 base from-labels prompts.csv --out mine && ol0 warmup mine --config ol0.toml --write`
    """
    with explained():
        from ol0.operator.setup.base import Base
        from ol0.operator.setup.labelled_file import read_labelled

        settings, labelled = logging_apart(config), read_labelled(file)
        base = Base.trained(
            labelled, seed=seed, epsilon=settings.serving.epsilon, anchors=settings.online_learning.anchors
        )
        _finish(base, settings, out, dry_run=dry_run)


@base_app.command("from-linear")
def from_linear(
    file: Annotated[Path, typer.Argument(help="Weight and bias: .npz, .safetensors or .pt.", show_default=False)],
    out: Out = OUT,
    config: Config = None,
    weight: Annotated[str | None, typer.Option(help="Name of the weight (K, D). Default: the only matrix.")] = None,
    bias: Annotated[str | None, typer.Option(help="Name of the bias (K,). Default: the only vector.")] = None,
    labels: LabelFile = None,
    seed: Seed = 0,
    dry_run: DryRun = False,  # noqa: FBT002 - how typer writes a flag
) -> None:
    """Take a linear router: weight and bias, of whatever trained it.

    Example: `ol0 base from-linear sklearn.npz --weight coef --bias intercept --labels prompts.npz --out mine`
    """
    with explained():
        from ol0.operator.setup.network import linear_network
        from ol0.operator.setup.tensor_file import read_tensors

        tensors = read_tensors(file)
        offset = tensors.of_rank(1, bias) if bias or tensors.has(1) else None
        network = linear_network(tensors.of_rank(2, weight), offset)
        _made(tensors.lines(), network, config, labels, out, seed, dry_run=dry_run)


@base_app.command("from-torch")
def from_torch(
    file: Annotated[Path, typer.Argument(help="A state_dict: .pt or .safetensors.", show_default=False)],
    out: Out = OUT,
    config: Config = None,
    activation: Annotated[
        str, typer.Option(help="Between the hidden layers: relu, gelu, silu or tanh; none for a linear router.")
    ] = "none",
    layers: Annotated[
        str, typer.Option(help="Names of the router's layers in their order, such as gate.0,gate.2. Default: all.")
    ] = "",
    labels: LabelFile = None,
    trainable: LetTrain = False,  # noqa: FBT002 - how typer writes a flag
    seed: Seed = 0,
    dry_run: DryRun = False,  # noqa: FBT002 - how typer writes a flag
) -> None:
    """Take a network written in torch: linear layers, layer norms and one activation.

    Its last linear layer becomes the head that learns; the layers below are frozen and served in numpy. torch is not
    needed, and no code from the file is executed.

    Example: `ol0 base from-torch router.pt --activation relu --labels prompts.npz --out mine`
    """
    with explained():
        from ol0.operator.setup.network import network_of
        from ol0.operator.setup.tensor_file import read_tensors

        tensors = read_tensors(file)
        for line in tensors.lines():
            typer.echo(line)
        network = network_of(tensors.named, activation, [name for name in layers.split(",") if name])
        _made([], network, config, labels, out, seed, trainable=trainable, dry_run=dry_run)


@base_app.command("from-module")
def from_module(
    place: Annotated[
        str,
        typer.Argument(
            help="package.file:name of a torch module, or of a function that builds it.", show_default=False
        ),
    ],
    out: Out = OUT,
    config: Config = None,
    state: Annotated[Path | None, typer.Option(help="Its state_dict: .pt or .safetensors. Default: as built.")] = None,
    labels: LabelFile = None,
    trainable: Annotated[
        list[str] | None,
        typer.Option(help="Parameters that the learner may train a copy of, such as 'gate.*'; may be given again."),
    ] = None,
    seed: Seed = 0,
    dry_run: DryRun = False,  # noqa: FBT002 - how typer writes a flag
) -> None:
    """Take a torch module of your own: residuals, gates, mixtures, attention.

    Your code is imported and traced here, once. What its forward computes becomes a graph of operations in the base:
    hosts and services serve it in numpy, without your code and without torch.

    Example: `ol0 base from-module mypkg.router:build --state router.pt --trainable 'gate.*' --labels prompts.npz`
    """
    with explained():
        from ol0.operator.setup.labelled_file import read_labelled
        from ol0.operator.setup.module import built_module, network_of_module
        from ol0.operator.setup.tensor_file import read_tensors

        module = built_module(place, None if state is None else read_tensors(state).named)
        found = None if labels is None else read_labelled(labels)
        features = None if found is None else found.prompts.features.shape[1]
        network = network_of_module(module, features, as_graph=bool(trainable))
        _made([], network, config, found, out, seed, trainable=tuple(trainable or ()), dry_run=dry_run)


@base_app.command("from-ar1")
def from_ar1(
    file: Annotated[Path, typer.Argument(help="An AR1 checkpoint (.pt).", show_default=False)],
    out: Out = OUT,
    config: Config = None,
    calibration: Annotated[
        Path | None, typer.Option(help="Logged decisions of the AR1 policy (.npz): anchors, figures, canary suite.")
    ] = None,
    dry_run: DryRun = False,  # noqa: FBT002 - how typer writes a flag
) -> None:
    """Take an AR1 policy with its encoder.

    Example: `ol0 base from-ar1 final_policy.pt --calibration logged.npz --out mine`
    """
    with explained():
        from ol0.ar1.description import describe
        from ol0.ar1.warmup import WarmupManager
        from ol0.operator.setup.lineage import write_ar1

        settings = with_calibration(logging_apart(config), calibration)
        imported = WarmupManager(settings.warmup, settings.online_learning, settings.serving).import_ar1(file)
        for line in describe(imported, settings.warmup.canary_threshold):
            typer.echo(line)
        _write(lambda folder: write_ar1(imported, folder), out, dry_run=dry_run)


def _made(
    lines: list[str],
    network: "Network",
    config: Path | None,
    labels: "Path | Labelled | None",
    out: Path,
    seed: int,
    *,
    trainable: "Trainable" = (),
    dry_run: bool,
) -> None:
    from ol0.operator.setup.base import Base
    from ol0.operator.setup.labelled_file import read_labelled

    for line in lines:
        typer.echo(line)
    settings = logging_apart(config)
    labelled = read_labelled(labels) if isinstance(labels, Path) else labels
    epsilon, anchors = settings.serving.epsilon, settings.online_learning.anchors
    base = Base.of(network, labelled, trainable=trainable, seed=seed, epsilon=epsilon, anchors=anchors)
    _finish(base, settings, out, dry_run=dry_run)


def _finish(base: "Base", settings: "Settings", out: Path, *, dry_run: bool) -> None:
    for line in (*base.found, *_said(base, settings)):
        typer.echo(line)
    _write(base.save, out, dry_run=dry_run)


def _write(save: Callable[[Path], None], out: Path, *, dry_run: bool) -> None:
    """Saves unless it is a dry run, and says what comes next."""
    if dry_run:
        typer.echo("nothing was written: --dry-run")
        return
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out} is a file; name a folder")
    save(out)
    typer.echo(f"wrote {out}; next: `ol0 warmup {out} --config ol0.toml --write`")


def _said(base: "Base", settings: "Settings") -> list[str]:
    """What the base is, and what it is worth beside the best single choice."""
    lines = [f"base           {brief(base.controller.digest)}, {len(base.data):,} bytes"]
    if base.suite is None:
        return [*lines, "no labels      so no canary suite and no anchors: --labels FILE makes both"]
    share, single = base.share, float(base.suite.success.mean(axis=0).max() / base.suite.best.mean())
    low = share < settings.warmup.canary_threshold
    note = f"; warmup.canary_threshold = {settings.warmup.canary_threshold:g} asks for more" if low else ""
    lines.append(f"worth          {share:.1%} of the best choices on the suite{note}")
    no_better = "" if share > single else ": the base is no better"
    return [*lines, f"               the best single choice is worth {single:.1%}{no_better}"]
