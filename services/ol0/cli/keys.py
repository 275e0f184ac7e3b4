"""``ol0 keys``: who may speak for the learner and for the gates."""

from pathlib import Path
from typing import Annotated

import typer

from ol0.cli.command import explained
from ol0.config import Signer

app = typer.Typer()
keys_app = typer.Typer(no_args_is_help=True, help="Keys with which candidates and verdicts are signed.")
app.add_typer(keys_app, name="keys")


@keys_app.command("new")
def keys_new(
    out: Annotated[Path, typer.Option(help="Folder of the key files; it is made where it is missing.")],
    only: Annotated[list[Signer] | None, typer.Option(help="Make a key for this one alone; may be repeated.")] = None,
) -> None:
    """Makes an ed25519 key pair for the learner and for each gate, and prints what to put into the settings.

    Private keys are readable by their owner alone; existing files are never overwritten. Give each service its own
    private key and no other, and everybody all public ones.

    Examples: `ol0 keys new --out /etc/ol0/keys`; to change one key, `ol0 keys new --only drift --out /etc/ol0/keys-2`
    """
    from ol0.controller.keys import make_keys

    with explained():
        public = make_keys(out, only or list(Signer))
        typer.echo(f"wrote private keys (.key, yours alone) and public ones (.pub) to {out}\n")
        typer.echo("[security.signing]  # in the settings of the service that signs with it, and of ol0 warmup")
        for signer in public:
            typer.echo(f'{signer} = "{(out / f"{signer}.key").resolve()}"')
        typer.echo("\n[security.trusted]  # everywhere: services, ol0 warmup and hosts; several while keys change")
        for signer, text in public.items():
            typer.echo(f'{signer} = ["{text}"]')
