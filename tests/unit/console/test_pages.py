"""The page over HTTP, as a browser without JavaScript sees it, in every state of a lineage."""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from html.parser import HTMLParser
from threading import Event, Semaphore

import pytest

from ol0.console.decisions.search import Bounds, Found, canonical
from ol0.console.observing.letters import LetterKind, Letters
from ol0.console.observing.picture import Picture
from ol0.console.view.page import page_of
from ol0.console.web.desk import MOST_SEARCHES
from ol0.console.web.rendering import coded, render, script, style
from ol0.evaluator.figures import Brief, Comparison
from support.made_up_run import digest
from unit.console import pictures
from unit.console.browser import console
from unit.console.pictures import EVIL, MINUTE_MS, NOON_MS, SETTINGS

STATES = {
    "reading": (Picture(), "The topics are being read"),
    "empty": (pictures.empty(), "Nothing serves yet"),
    "learning": (pictures.learning().picture(), "The base serves while the learner collects evidence"),
    "on trial": (pictures.on_trial().picture(), "612 of about 1,022 sessions; 410 missing"),
    "released": (pictures.released().picture(), f"Release {digest('three')[:8]} (step 3) serves"),
    "rolled back": (pictures.rolled_back().picture(), "was taken back"),
    "frozen": (pictures.frozen().picture(), "ann ordered freeze: launch day."),
    "broker away": (pictures.away(), "Kafka does not answer at localhost:9092"),
}
ID = "7e0f3c52-6c1b-4f0e-9d1a-1f2e3d4c5b6a"
VOID = {"meta", "link", "input", "br", "rect", "line", "polyline", "polygon", "circle"}


class Outline(HTMLParser):
    """Which elements are open, and what the page asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wanted: list[str] = []
        self.ids: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.wanted += [value or "" for name, value in attrs if name in {"src", "href", "action"}]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        assert not [name for name, _ in attrs if name == "style" or name.startswith("on")]
        self.scripts += tag == "script"
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag in VOID or self.open.pop() == tag


def outline(html: str) -> Outline:
    read = Outline()
    read.feed(html)
    read.close()
    assert read.open == []
    return read


def page(picture: Picture, *, full: bool = False) -> str:
    values = {"lineage": "shop", "form_word": "", "may_sign_in": False, "orders": None}
    return render("page", {**values, "page": page_of(picture, SETTINGS, NOON_MS, full=full)})


@pytest.mark.parametrize("state", STATES)
def test_each_state_is_a_page_that_needs_nothing_from_elsewhere(state: str) -> None:
    picture, words = STATES[state]
    with console(picture) as browser:
        answer = browser.get("/")
    assert answer.status == 200
    assert words.replace(" %", "\N{NO-BREAK SPACE}%") in answer.text
    read = outline(answer.text)
    assert {where for where in read.wanted if not where.startswith("/")} == {"data:,"}
    assert len(read.ids) == len(set(read.ids))
    assert "http://" not in answer.text.replace("http://127.0.0.1", "")
    assert "@import" not in style()
    assert "url(" not in style()


def test_a_page_may_run_its_own_script_alone() -> None:
    with console(pictures.learning().picture()) as browser:
        answer = browser.get("/")
        sheet = browser.get("/style.css")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert f"<script>{script()}</script>" in answer.text
    assert (sheet.status, sheet.headers["content-type"]) == (200, "text/css; charset=utf-8")


def evil_picture() -> Picture:
    """Everything that strangers can write holds a script: groups, reasons, causes, orders, letters, errors."""
    groups = {EVIL: Comparison(Brief(0.8, 900, 0.5), Brief(0.8, 100, 0.4))}
    story = pictures.on_trial(text=f"group {EVIL!r} looks harmed", groups=groups)
    story.release("three", 3, NOON_MS - MINUTE_MS)
    story.roll_back(("one", 1), NOON_MS - 20_000, f"{EVIL} ordered rollback: {EVIL} `{EVIL}`")
    story.freeze(NOON_MS - 10_000, EVIL)
    kind = LetterKind(EVIL, EVIL, 1, NOON_MS, EVIL, f"ol0 dlq show {EVIL}", EVIL)
    return story.picture(letters=Letters((kind,)), holdups={EVIL: EVIL}, troubles=pictures.away().troubles)


def test_what_comes_from_topics_is_text_and_never_markup() -> None:
    picture = evil_picture()
    picture = replace(picture, troubles=tuple(replace(it, text=EVIL) for it in picture.troubles))
    html = page(picture, full=True)
    assert EVIL not in html
    assert outline(html).scripts == 1
    assert html.count("&lt;script&gt;") > 10


@pytest.mark.parametrize("text", [EVIL, f"`{EVIL}`", f"`{EVIL}", f"{EVIL}` a `{EVIL}`"])
def test_quoted_commands_are_code_and_whatever_is_in_them_is_text(text: str) -> None:
    assert "<script>" not in coded(text)
    assert coded(text).count("&lt;script&gt;") == text.count("<script>")


def test_lists_are_cut_and_a_link_shows_the_whole() -> None:
    story = pictures.learning()
    for step in range(1, 41):
        at_ms = NOON_MS - (41 - step) * MINUTE_MS
        story.offer(f"c{step}", step, at_ms)
        story.stage(f"c{step}", step, at_ms + 10)
        story.release(f"c{step}", step, at_ms + 20)
    with console(story.picture()) as browser:
        cut, whole = browser.get("/").text, browser.get("/?full=1").text
    assert (cut.count('class="row candidate"'), whole.count('class="row candidate"')) == (12, 41)
    assert (cut.count('class="row event"'), whole.count('class="row event"')) == (30, 41)
    assert "Show all 41" in cut
    assert "Show all" not in whole


def test_of_a_thousand_transitions_the_newest_are_shown_and_all_where_they_are_asked_for() -> None:
    # Given 250 candidates of four transitions each.
    story = pictures.learning()
    for step in range(1, 251):
        at_ms = NOON_MS - (251 - step) * MINUTE_MS
        story.offer(f"c{step}", step, at_ms)
        story.stage(f"c{step}", step, at_ms + 10)
        story.release(f"c{step}", step, at_ms + 20)
    picture = story.picture()
    assert len(picture.known.transitions) >= 1_000
    # When it is asked for, then it is there, in short and in full: benchmarks/results.md says how soon.
    with console(picture) as browser:
        short, full = (browser.get(path) for path in ("/", "/?full=1"))
    assert (short.status, full.status) == (200, 200)
    assert full.text.count("serves in place of") >= 250 > short.text.count("serves in place of") > 0


def test_a_page_that_is_not_there_and_a_wrong_id_are_told_in_words() -> None:
    with console(pictures.learning().picture()) as browser:
        missing = browser.get("/nothing")
        wrong = browser.get("/decisions/none")
        docs = browser.get("/docs")
    assert (missing.status, "There is no such page" in missing.text) == (404, True)
    assert (wrong.status, "is no decision id" in wrong.text) == (400, True)
    assert docs.status == 404
    assert "Traceback" not in missing.text + wrong.text


def test_a_fault_of_the_console_is_a_page_without_a_traceback() -> None:
    def fails(text: str, bounds: Bounds) -> Found:
        raise RuntimeError("secret detail")

    with console(search=fails) as browser:
        answer = browser.get(f"/decisions/{ID}")
        assert browser.get("/").status == 200
    assert (answer.status, "its log has the details" in answer.text) == (500, True)
    assert "secret detail" not in answer.text


def test_more_searches_than_may_run_at_a_time_are_refused() -> None:
    began, go_on = Semaphore(0), Event()

    def waits(text: str, bounds: Bounds) -> Found:
        began.release()
        go_on.wait(10)
        return Found(canonical(text), bounds)

    with console(search=waits) as browser, ThreadPoolExecutor() as pool:
        searches = [pool.submit(browser.get, f"/decisions/{ID}") for _ in range(MOST_SEARCHES)]
        for _ in searches:
            began.acquire(timeout=10)
        refused = browser.get(f"/decisions/{ID}")
        go_on.set()
        assert [it.result().status for it in searches] == [200] * MOST_SEARCHES
        assert refused.status == 503
        assert browser.get(f"/decisions/{ID}").status == 200


def test_a_console_is_called_by_the_names_of_this_machine_alone() -> None:
    with console(pictures.learning().picture()) as browser:
        assert browser.get("/", host="evil.example:8600").status == 403
        assert browser.get("/events", host="evil.example").status == 403
        assert browser.get("/", host="localhost:8600").status == 200
        assert browser.get("/", host="[::1]:8600").status == 200


@pytest.mark.parametrize("query", ["hours=nan", "hours=-1", "hours=1e9", "hours=x"])
def test_a_query_without_sense_is_told_in_words(query: str) -> None:
    with console() as browser:
        answer = browser.get(f"/decisions/{ID}?{query}")
    assert (answer.status, "hours: Input should be" in answer.text) == (400, True)


def test_every_table_that_stacks_names_its_cells() -> None:
    html = page(pictures.on_trial().picture())
    for table in re.findall(r'<table class="stack.*?</table>', html, re.DOTALL):
        body = table.partition("<tbody>")[2]
        assert body.count("<td") == body.count('data-label="')
