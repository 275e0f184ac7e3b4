"""``ol0 keys``: signing keys of the learner and the gates."""

from pathlib import Path
from typing import Annotated

import typer

from ol0.cli.command import explained
from ol0.config import Signer

app = typer.Typer()
keys_app = typer.Typer(no_args_is_help=True, help="Signing keys for candidates and verdicts.")
app.add_typer(keys_app, name="keys", rich_help_panel="Set up")


@keys_app.command("new")
def keys_new(
    out: Annotated[Path, typer.Option(help="Folder for the key files. Created if missing.")],
    only: Annotated[list[Signer] | None, typer.Option(help="Create only this key. May be repeated.")] = None,
) -> None:
    """Create an ed25519 key pair for the learner and each gate, and print the settings to paste.

    Only the owner can read the private keys, and existing files are never overwritten. Give each service only its own
    private key, and give every service and host all public keys.

    Example: `ol0 keys new --out /etc/ol0/keys`

    To replace one key: `ol0 keys new --only drift --out /etc/ol0/keys-2`
    """
    from ol0.controller.keys import make_keys

    with explained():
        public = make_keys(out, only or list(Signer))
        typer.echo(f"wrote private keys (.key, keep them secret) and public keys (.pub) to {out}\n")
        typer.echo("[security.signing]  # only in the settings of the service that signs, and for ol0 warmup")
        for signer in public:
            typer.echo(f'{signer} = "{(out / f"{signer}.key").resolve()}"')
        typer.echo(
            "\n[security.trusted]  # everywhere: services, ol0 warmup and hosts; list old and new key during a change"
        )
        for signer, text in public.items():
            typer.echo(f'{signer} = ["{text}"]')
