"""Templates to HTML. Whatever comes from topics, errors or forms is escaped."""

from base64 import b64encode
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from ol0.console.view.words import begun
from ol0.records import brief, short

STYLE: Final = "style.css"
SCRIPT: Final = "update.js"
PACKAGE: Final = "ol0.console.web"


def render(template: str, values: Mapping[str, object]) -> str:
    """A page. Figures and their units stay on one line."""
    html = _environment().get_template(f"{template}.html.jinja").render(values, script=Markup(script()))  # noqa: S704 - ours
    return html.replace(" %", "\N{NO-BREAK SPACE}%")


def coded(text: str) -> Markup:
    """The text escaped, with what is between backquotes as code.

    >>> str(coded("run `ol0 <x>` now"))
    'run <code>ol0 &lt;x&gt;</code> now'
    """
    pieces = text.split("`")
    if len(pieces) % 2 == 0:
        return escape(text)
    return Markup("").join(Markup("<code>{}</code>").format(it) if at % 2 else it for at, it in enumerate(pieces))


@cache
def style() -> str:
    """The style sheet."""
    return _text(STYLE)


@cache
def script() -> str:
    """The lines that swap the page's main part when there is news."""
    return _text(SCRIPT)


@cache
def policy() -> str:
    """What a page may load: its own style sheet and exactly this script, and nothing from elsewhere."""
    digest = b64encode(sha256(script().encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'self'; script-src 'sha256-{digest}'; connect-src 'self'; img-src data:; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


def _text(name: str) -> str:
    return (files(PACKAGE) / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(PACKAGE, "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {"coded": coded, "begun": begun, "short": short, "brief": brief}
    environment.filters["svg"] = Markup  # plots alone: made by the server, from numbers and fixed words
    return environment
