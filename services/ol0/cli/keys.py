"""``ol0 keys``: signing keys of the learner and the gates, and the secret keys of hosts."""

import secrets
from pathlib import Path
from typing import Annotated, Final

import typer

from ol0.cli.command import Config, explained
from ol0.config import HostKey, Signer, load_settings

app = typer.Typer()
keys_app = typer.Typer(no_args_is_help=True, help="Signing keys for candidates and verdicts, and keys of hosts.")
HOST_KEY_BYTES: Final = 32
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


@keys_app.command("host")
def keys_host(
    config: Config = None,
    write: Annotated[bool, typer.Option("--write", help="Write them into --config (TOML), print nothing.")] = False,  # noqa: FBT002
) -> None:
    """Create the secret keys of hosts, those that --config does not have yet, and print the settings to paste.

    `arm_key` picks the arm of a user or session, `user_key` makes the pseudonym that is stored in place of a user's
    name. Every host of a lineage needs the same two, `ol0 forget` and `ol0 replay exclude --user` need `user_key`. Keep
    them: with another `arm_key` people change arms, with another `user_key` users from before cannot be forgotten.

    Example: `ol0 keys host --config ol0.toml --write`
    """
    from ol0.cli.settings_to_paste import write_into

    with explained():
        serving = load_settings(config).serving
        missing = {
            ("serving", str(name)): secrets.token_urlsafe(HOST_KEY_BYTES)
            for name in HostKey
            if name not in serving.keys
        }
        names = " and ".join(f"serving.{name}" for _, name in missing)
        if not missing:
            typer.echo(f"{config} has both keys; nothing to do")
        elif write:
            typer.echo(f"wrote {names} into {write_into(config, missing)}; give every host the same")
        else:
            typer.echo("[serving]  # in every host, and for ol0 forget; keep them secret")
            for (_, name), key in missing.items():
                typer.echo(f'{name} = "{key}"')
