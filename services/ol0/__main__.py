"""``python -m ol0`` is ``ol0``."""

from ol0.cli import app

app()
