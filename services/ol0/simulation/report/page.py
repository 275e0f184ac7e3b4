"""The report as one page that needs nothing but itself."""

from collections.abc import Callable
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ol0.operator import text
from ol0.operator.text import clock, lift_text, percent, plural, signed_percent, signed_points
from ol0.records import Arm, short
from ol0.simulation.report.evidence import trials
from ol0.simulation.report.model import RunReport
from ol0.simulation.report.plots import COLOURS, flow_plot, lift_plot, success_plot, trials_plot
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
        arms=[(arm, COLOURS[arm], _served_by(arm, report)) for arm in Arm],
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
    """The SVG of each plot that has something to show. It is made here, from numbers and fixed words alone."""
    now = report.observation
    plots: dict[str, Markup] = {}
    if now.series:
        plots["success"] = Markup(success_plot(now.series, now.releases))  # noqa: S704 - see above
        plots["flow"] = Markup(flow_plot(now.series))  # noqa: S704 - same
    if any(point.lift.estimate is not None for point in now.series):
        plots["lift"] = Markup(lift_plot(now.series, now.releases))  # noqa: S704 - same
    if evidence := trials(now):
        plots["trials"] = Markup(trials_plot(evidence))  # noqa: S704 - same
    return plots
