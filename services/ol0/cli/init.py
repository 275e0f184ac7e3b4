"""``ol0 init``: a commented settings file to begin with."""

from pathlib import Path
from secrets import token_hex
from typing import Annotated

import typer

from ol0.cli.command import explained
from ol0.errors import ConfigError

app = typer.Typer()

TEMPLATE = """\
# Settings of one lineage: for every service, every `ol0` command and every host.
# OL0_SECTION__KEY in the environment overrides a value here. `ol0 config show` prints all settings with their defaults,
# `ol0 config check` finds mistakes.

[kafka]
bootstrap_servers = "{servers}"
topic_prefix = "{prefix}"              # names the lineage: its topics, its keys in the store
# [kafka.options]                      # librdkafka's own, such as:
# "security.protocol" = "SASL_SSL"
# "sasl.mechanism" = "SCRAM-SHA-512"
# "sasl.username" = "ol0"              # the password: OL0_KAFKA__OPTIONS in the environment

[redis]
url = "{redis}"                        # needs appendonly yes, maxmemory-policy noeviction and a maxmemory

[streaming]
reward_window_s = 600                  # from the decision until its outcome is made: longer hears more, learns later
allowed_lateness_s = 60                # how far a partition may run out of order

[serving]
# base = "mine/base.safetensors"       # `ol0 warmup FOLDER --write` puts it here
epsilon = 0.1                          # share of exploration: what is learnt comes from it
holdback = 0.1                         # share that the base always serves: the yardstick of the lift
user_key = "{user_key}"  # makes pseudonyms of users: keep it secret, and never change it
arm_key = "{arm_key}"   # draws the arms: never change it

[safety]
# suite = "mine/suite.safetensors"     # likewise

[warmup]
# canary_threshold = 0.7               # likewise: what the base is worth on its suite

[observability]
port = {port}                            # /metrics, /livez, /readyz; `ol0 run` takes six ports from here on; 0: none
"""


@app.command(rich_help_panel="Set up")
def init(
    path: Annotated[Path, typer.Argument(help="The file to write.")] = Path("ol0.toml"),
    servers: Annotated[str, typer.Option(help="Kafka's bootstrap servers.")] = "localhost:9092",
    redis: Annotated[str, typer.Option(help="URL of Redis or Valkey.")] = "redis://localhost:6379/0",
    prefix: Annotated[str, typer.Option(help="Name of the lineage.")] = "ol0",
    port: Annotated[int, typer.Option(min=0, max=65_530, help="First port of /metrics; 0: none.")] = 8080,
) -> None:
    """Write a commented settings file with keys of its own. Never overwrites one.

    Example: `ol0 init && ol0 config check --config ol0.toml`
    """
    with explained():
        text = TEMPLATE.format(
            servers=servers, redis=redis, prefix=prefix, port=port, user_key=token_hex(16), arm_key=token_hex(16)
        )
        try:
            with path.open("x", encoding="utf-8") as file:
                path.chmod(0o600)
                file.write(text)
        except FileExistsError:
            raise ConfigError(f"{path} exists: name another file, or move it away") from None
        typer.echo(f"wrote {path}, which only you can read: it holds the key of the users' pseudonyms")
        typer.echo(f"next: `ol0 topics apply --config {path}`, then `ol0 base --help` for a base of your own")
