"""The report as one page that needs nothing but itself."""

from collections.abc import Callable
from functools import partial
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ol0.operator import text
from ol0.operator.text import clock, lift_text, percent, plural, signed_percent, signed_points
from ol0.records import Arm, short
from ol0.simulation.report.evidence import trials
from ol0.simulation.report.model import RunReport
from ol0.simulation.report.plots import WIDTHS_IN, flow_plot, lift_plot, success_plot, trials_plot
from ol0.simulation.report.text import closing_text, event_time_text, headline

TEMPLATE: Final = "template.html.jinja"
ARM_WORDS: Final = {
    Arm.STAGED: "served by the candidate on trial",
    Arm.HOLDBACK: "always served by the base, as a yardstick",
}
FILTERS: Final[dict[str, Callable[..., str]]] = {
    "clock": clock,
    "percent": percent,
    "signed_percent": signed_percent,
    "points": signed_points,
    "plural": plural,
    "short": short,
    "lift_text": lift_text,
    "stage_text": text.stage_text,
}


def html(report: RunReport) -> str:
    """The page. Everything that comes from records is escaped: texts of verdicts are not ours."""
    environment = Environment(
        loader=PackageLoader("ol0.simulation.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS)
    page = environment.get_template(TEMPLATE).render(
        report=report,
        now=report.observation,
        checks=report.checks(),
        headline=headline(report),
        closing=closing_text(report),
        event_time=None if report.event_time is None else event_time_text(report.event_time),
        plots=_plots(report),
        arms=[(arm, _served_by(arm, report)) for arm in Arm],
    )
    return page.replace(" %", "\N{NO-BREAK SPACE}%")  # a figure and its unit stay on one line


def _served_by(arm: Arm, report: RunReport) -> str:
    if arm is not Arm.LIVE:
        return ARM_WORDS[arm]
    releases = report.observation.releases
    if not releases:
        return "served by the base, for nothing was released"
    return f"served by the newest release; until {clock(releases[0].at_s)} by the base"


def _plots(report: RunReport) -> dict[str, Markup]:
    """Each plot that has something to show, for a screen and for a phone."""
    now = report.observation
    plots: dict[str, Callable[[float], str]] = {}
    if now.series:
        plots["success"] = partial(success_plot, series=now.series, releases=now.releases)
        plots["flow"] = partial(flow_plot, series=now.series)
    if any(point.lift.estimate is not None for point in now.series):
        plots["lift"] = partial(lift_plot, series=now.series, releases=now.releases)
    if evidence := trials(now):
        plots["trials"] = partial(trials_plot, trials=evidence)
    return {name: _both_widths(plot) for name, plot in plots.items()}


def _both_widths(plot: Callable[[float], str]) -> Markup:
    drawn = (f'<div class="{name}">{plot(width_in)}</div>' for name, width_in in WIDTHS_IN.items())
    return Markup("".join(drawn))  # noqa: S704 - made here, from numbers and fixed words alone
