"""Writes docs/api.md: what the public names are, from their docstrings and nothing else. ``make api`` runs it."""

import ast
import inspect
import re
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from textwrap import dedent
from typing import Final

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

PAGE: Final = Path(__file__).parents[1] / "docs" / "api.md"
INTRODUCTION: Final = """\
# Python API

This page is made of the docstrings: change them, and run `make api`. [python-api.md](python-api.md) shows how the names
work together, [operating.md](operating.md#in-a-host) what a host in production should know. All arrays are numpy's; n
counts rows, D features and K choices; an action has one index per part, and so has a propensity. Errors are those of
`ol0.errors`, at the end of the page.
"""
GROUPS: Final = {
    "In a host": (
        "ol0.Router",
        "ol0.sdk.prompt.Prompt",
        "ol0.sdk.prompt.Choice",
        "ol0.sdk.feedback.ToolResult",
        "ol0.sdk.feedback.Implicit",
        "ol0.sdk.options.Options",
        "ol0.sdk.metrics.RouterMetrics",
        "ol0.kafka.sending.producer_thread.Account",
    ),
    "A base of your own": ("ol0.Base", "ol0.WarmupManager", "ol0.ar1.warmup.WarmupResult"),
    "Learning in your own process": (
        "ol0.OnlineLearner",
        "ol0.OnlineLearningConfig",
        "ol0.Example",
        "ol0.ReplayBuffer",
        "ol0.EWCRegularizer",
    ),
    "Judging": ("ol0.OnlineEvaluator", "ol0.run_24hour_soak_test", "ol0.simulation.soak_test.SoakTestResult"),
}
MADE_ELSEWHERE: Final = {"Router", "Prompt", "Choice", "Account", "WarmupResult", "SoakTestResult"}
"""Nobody calls their constructors: what those take is of no interest."""
INTERNAL: Final = {
    "Router.following",
    "Router.take",
    "Base.of",
    "Base.trained",
    "RouterMetrics.collect",
    "SoakTestResult.of",
}
"""Public for other modules of OL0, not for hosts."""
SECTIONS: Final = ("Args", "Attributes", "Raises", "Returns", "Yields", "References")
ITEM: Final = re.compile(r"(\*{0,2}[\w, ]+): (.*)")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for title, paths in GROUPS.items():
        parts += [f"## {title}\n", *("\n".join(_entry(path)) for path in paths)]
    parts += ["## Errors\n", *_prose(inspect.cleandoc(import_module("ol0.errors").__doc__ or ""))]
    return "\n".join(parts)


def _entry(path: str) -> Iterator[str]:
    """One name: its signature, its docstring, and then its methods."""
    module, _, name = path.rpartition(".")
    thing = getattr(import_module(module), name)
    where, words = thing.__module__, inspect.getdoc(thing) or ""
    (node,) = ast.parse(dedent(inspect.getsource(thing))).body
    assert isinstance(node, ast.ClassDef | Function)
    yield f"### {name}\n\n`from {module} import {name}`\n"
    if isinstance(thing, type) and issubclass(thing, BaseModel):
        yield from (*_prose(words), *_settings(thing))
    elif isinstance(node, Function):
        yield from (_code(_signature(node, name), where), *_prose(words))
    elif name in MADE_ELSEWHERE:
        yield from (*_prose(re.sub(r"\n\nArgs:(\n .*)+", "", words)), *_methods(node, where))
    else:
        yield from (_code(_construction(node, name), where), *_prose(words), *_methods(node, where))


def _methods(node: ast.ClassDef, where: str) -> Iterator[str]:
    for method in node.body:
        if isinstance(method, Function) and not method.name.startswith("_"):
            name = f"{node.name}.{method.name}"
            if name not in INTERNAL:
                yield f"#### {name}\n"
                yield from (_code(_signature(method, method.name), where), *_prose(_docstring(method, where)))


def _docstring(method: Function, module: str) -> str:
    """Its own, or that of the protocol which its own refers to."""
    text = ast.get_docstring(method) or ""
    if (protocol := re.fullmatch(r"See ``(\w+)``\.", text)) is not None:
        text = inspect.getdoc(getattr(getattr(import_module(module), protocol[1]), method.name)) or ""
    return text


def _construction(node: ast.ClassDef, name: str) -> str:
    """How one is made: by ``__init__``, or from its fields."""
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and member.name == "__init__":
            return _signature(member, name)
    fields = [field for field in node.body if isinstance(field, ast.AnnAssign)]
    return _call(name, [re.sub(r"field\(default_factory=(\w+)\)", r"\1()", ast.unparse(field)) for field in fields])


def _signature(node: Function, name: str) -> str:
    """A call with annotations and defaults as they stand in the source, without ``self``."""
    args = node.args
    plain = [*args.posonlyargs, *args.args]
    defaults = [*[None] * (len(plain) - len(args.defaults)), *args.defaults]
    arguments = [_argument(one, default) for one, default in zip(plain, defaults, strict=True)]
    if args.kwonlyargs:
        arguments += ["*", *map(_argument, args.kwonlyargs, args.kw_defaults)]
    marks = {ast.unparse(mark) for mark in node.decorator_list}
    returns = "" if node.returns is None or node.name == "__init__" else f" -> {ast.unparse(node.returns)}"
    if "property" in marks:
        return f"{name}{returns.replace(' ->', ':')}"
    before = "await " if isinstance(node, ast.AsyncFunctionDef) else ""
    return f"{before}{_call(name, [it for it in arguments if it not in {'self', 'cls'}])}{returns}"


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    return ast.unparse(argument) + ("" if default is None else f" = {ast.unparse(default)}")


def _call(name: str, arguments: Sequence[str]) -> str:
    """On one line, or one argument a line where it would be long."""
    line = f"{name}({', '.join(arguments)})"
    return line if len(line) <= 90 else f"{name}(\n" + "".join(f"    {it},\n" for it in arguments) + ")"


def _code(text: str, module: str) -> str:
    """A block of code, with the values of the module's numbers in place of their names."""

    def value(name: re.Match[str]) -> str:
        found = getattr(import_module(module), name[1])
        return f"= {found!r}" if isinstance(found, int | float) else name[0]

    named = re.sub(r"= ([A-Z]+)\b", value, text)
    return f"```python\n{named}\n```\n"


def _prose(text: str | None) -> Iterator[str]:
    """A docstring in Markdown: its sections are lists, its examples and drawings are code."""
    for block in re.split(r"\n\s*\n", (text or "").replace("``", "`")):
        head, _, rest = block.partition("\n")
        if head.rstrip(":") in SECTIONS:
            yield f"{head}\n"
            yield "\n".join(_items(dedent(rest))) + "\n"
        elif head.startswith(">>>"):
            yield f"```pycon\n{block}\n```\n"
        elif block.startswith("    "):
            yield f"```\n{dedent(block)}\n```\n"
        elif head == "::":
            continue
        else:
            yield f"{block}\n"


def _items(text: str) -> Iterator[str]:
    """``name: words`` with what is indented below it, as an item each."""
    for line in re.sub(r"\n +", " ", text).splitlines():
        if line.endswith(": see `Base`."):
            continue
        named = ITEM.fullmatch(line)
        yield f"- {line}" if named is None else f"- `{named[1]}`: {named[2]}"


def _settings(model: type[BaseModel]) -> Iterator[str]:
    """Fields with their defaults, a row each."""
    rows = ["| field | default | what it is |", "|---|---|---|"]
    for name, field in model.model_fields.items():
        default = "" if field.default is PydanticUndefined else f"`{field.default!r}`"
        words = (field.description or "").replace("|", "\\|")
        rows.append(f"| `{name}` | {default} | {words} |")
    yield "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name} is written\n")
