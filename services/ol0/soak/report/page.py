"""The report as one page that needs nothing but itself."""

from collections.abc import Callable
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ol0.records import Arm
from ol0.soak import words
from ol0.soak.figures import LiftInterval
from ol0.soak.report.evidence import trials
from ol0.soak.report.model import RunReport
from ol0.soak.report.plots import COLOURS, flow_plot, lift_plot, success_plot, trials_plot
from ol0.soak.words import clock, lift_words, percent, plural, signed_percent, signed_points

TEMPLATE: Final = "template.html.jinja"
ARM_WORDS: Final = {
    Arm.LIVE: "served by the released controller",
    Arm.STAGED: "served by the candidate on trial",
    Arm.HOLDBACK: "always served by the base, as a yardstick",
}
FILTERS: Final[dict[str, Callable[..., str]]] = {
    "clock": clock,
    "percent": percent,
    "signed_percent": signed_percent,
    "points": signed_points,
    "plural": plural,
    "short": words.short,
    "lift_words": lift_words,
    "stage_words": words.stage_words,
}


def html(report: RunReport) -> str:
    """The page. Everything that comes from records is escaped: texts of verdicts are not ours."""
    environment = Environment(
        loader=PackageLoader("ol0.soak.report", "."),
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
        plots=_plots(report),
        arms=[(arm, COLOURS[arm], ARM_WORDS[arm]) for arm in Arm],
    )
    return page.replace(" %", "\N{NO-BREAK SPACE}%")  # a figure and its unit stay on one line


def headline(report: RunReport) -> str:
    """The verdict in one sentence, with the figures that matter most."""
    now, policy = report.observation, report.policy
    parts = []
    if policy is not None:
        parts.append(
            f"the controller's success on new kinds of prompts went from {percent(policy.new.base)} to "
            f"{percent(policy.new.final)}, on the old kinds from {percent(policy.old.base)} to "
            f"{percent(policy.old.final)}"
        )
    parts.append(_lift_sentence(now.lift))
    return words.sentence(f"After {plural(now.decisions, 'decision')}, {'; '.join(parts)}")


def _lift_sentence(lift: LiftInterval) -> str:
    if lift.estimate is None:
        return "whether sessions went better than with the base is not known yet"
    how = f"{percent(abs(lift.estimate))} {'better' if lift.estimate >= 0 else 'worse'}"
    proven = lift.low is not None and lift.low > 0
    surely = f"at least {percent(lift.low)}" if proven else "not proven"
    return f"sessions that it served went {how} than those of the base ({surely})"


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
