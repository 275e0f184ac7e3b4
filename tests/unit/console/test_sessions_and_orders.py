"""Who may look and who may order: tokens, sessions, forms, and orders that are rehearsed first."""

import pytest

from ol0.config import Settings
from ol0.console.orders import Wish
from ol0.console.web.access import SESSION_S, Access, is_loopback
from ol0.console.web.forms import fields_of
from ol0.environment import check_environment
from ol0.errors import ConfigError
from ol0.records import OperatorKind
from support.made_up_run import digest
from testbed.waiting import ManualClock
from unit.console import pictures
from unit.console.browser import CHANGES, TOKEN, Browser, Orders, console
from unit.console.pictures import EVIL

WISH = {"kind": "rollback", "digest": "", "actor": "ann", "reason": "complaints"}


def seal_of(html: str) -> str:
    return html.partition('name="seal" value="')[2].partition('"')[0]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "console.example"])  # noqa: S104 - what is refused
def test_an_address_that_others_reach_needs_a_token(host: str) -> None:
    with pytest.raises(ConfigError, match="OL0_CONSOLE_TOKEN"):
        Access(host, None)
    Access(host, TOKEN)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_addresses_of_this_machine_need_none(host: str) -> None:
    assert is_loopback(host)
    Access(host, None)


def test_a_token_that_can_be_guessed_is_refused() -> None:
    with pytest.raises(ConfigError, match="16 are the least"):
        Access("127.0.0.1", "short")


def test_the_variable_of_the_token_is_no_unknown_setting() -> None:
    check_environment(Settings, {"OL0_CONSOLE_TOKEN": TOKEN})


def test_a_session_opens_with_the_token_alone_and_ends_by_itself() -> None:
    clock = ManualClock()
    access = Access("127.0.0.1", TOKEN, clock)
    assert access.open_session("another token, as long") is None
    session = access.open_session(TOKEN)
    assert access.is_open(session)
    assert session is not None
    assert access.is_own_form(session, access.form_word(session))
    clock.now_s = SESSION_S
    assert not access.is_open(session)
    assert not access.is_own_form(session, access.form_word(session))


def test_a_form_of_one_session_is_none_of_another() -> None:
    access = Access("127.0.0.1", TOKEN)
    first, second = access.open_session(TOKEN), access.open_session(TOKEN)
    assert first is not None
    assert not access.is_own_form(second, access.form_word(first))


def test_without_a_token_there_are_no_buttons_and_no_orders() -> None:
    orders = Orders()
    with console(pictures.released().picture(), orders=orders) as browser:
        html = browser.get("/").text
        assert ("/orders" in html, "Sign in" in html) == (False, False)
        assert browser.sign_in().status == 403
        assert browser.post("/orders", **WISH).status == 403
        assert browser.post("/orders/give", **WISH, seal="x", form="x").status == 403
    assert orders.given == []


def test_with_a_token_buttons_come_after_signing_in_with_it() -> None:
    with console(pictures.released().picture(), token=TOKEN) as browser:
        before = browser.get("/").text
        assert ("/orders" in before, "Sign in" in before) == (False, True)
        wrong = browser.sign_in("a wrong token, as long")
        assert (wrong.status, browser.cookie) == (403, "")
        answer = browser.sign_in()
        assert (answer.status, answer.headers["location"]) == (303, "/")
        assert {"HttpOnly", "SameSite=strict"} <= set(answer.headers["set-cookie"].split("; "))
        after = browser.get("/").text
    assert [f'value="{kind}"' in after for kind in ("freeze", "thaw", "pin", "rollback")] == [True] * 4
    assert f'value="{digest("one")}"' in after
    assert f'value="{digest("three")}"' not in after  # it is live: there is nothing to pin
    assert TOKEN not in after


def test_an_order_is_rehearsed_by_the_first_form_and_given_by_the_second() -> None:
    orders = Orders()
    with console(pictures.released().picture(), token=TOKEN, orders=orders) as browser:
        browser.sign_in()
        word = browser.form_word()
        shown = browser.post("/orders", **WISH, form=word)
        assert shown.status == 200
        assert "nothing has been done" in shown.text
        assert CHANGES[0].replace(">", "&gt;") in shown.text
        assert orders.given == []
        done = browser.post("/orders/give", **WISH, form=word, seal=seal_of(shown.text))
    assert (done.status, "number 17, frozen" in done.text) == (200, True)
    assert orders.given == [Wish(OperatorKind.ROLLBACK, "", "ann", "complaints")]


def test_an_order_that_would_do_something_else_by_now_is_shown_again_and_not_given() -> None:
    orders = Orders()
    with console(pictures.released().picture(), token=TOKEN, orders=orders) as browser:
        browser.sign_in()
        word = browser.form_word()
        seal = seal_of(browser.post("/orders", **WISH, form=word).text)
        orders.changes = ("another one falls",)
        again = browser.post("/orders/give", **WISH, form=word, seal=seal)
        other = browser.post("/orders/give", **{**WISH, "digest": "abcd"}, form=word, seal=seal)
    assert "The lineage has moved on" in again.text
    assert "another one falls" in again.text
    assert "The lineage has moved on" in other.text
    assert orders.given == []


def test_an_order_that_changes_nothing_has_no_second_button() -> None:
    with console(pictures.frozen().picture(), token=TOKEN, orders=Orders(changes=())) as browser:
        browser.sign_in()
        html = browser.post("/orders", **{**WISH, "kind": "freeze"}, form=browser.form_word()).text
    assert "It is already so. No order was given." in html
    assert "/orders/give" not in html


@pytest.mark.parametrize("form", ["", "0" * 64])
def test_a_form_that_another_site_made_up_is_refused(form: str) -> None:
    orders = Orders()
    with console(pictures.released().picture(), token=TOKEN, orders=orders) as browser:
        browser.sign_in()
        for path in ("/orders", "/orders/give", "/sign-out"):
            assert browser.post(path, **WISH, seal="", form=form).status == 403
    assert orders.given == []


def test_what_a_person_writes_into_a_form_is_text() -> None:
    with console(pictures.released().picture(), token=TOKEN) as browser:
        browser.sign_in()
        html = browser.post("/orders", **{**WISH, "actor": EVIL, "reason": EVIL}, form=browser.form_word()).text
    assert EVIL not in html
    assert html.count("&lt;script&gt;") >= 4


def test_signing_out_takes_the_buttons_away() -> None:
    with console(pictures.released().picture(), token=TOKEN) as browser:
        browser.sign_in()
        stale = Browser(browser.port, browser.cookie)
        assert browser.post("/sign-out", form=browser.form_word()).status == 303
        assert "/orders" not in stale.get("/").text


def test_beyond_this_machine_nothing_is_shown_without_a_session() -> None:
    with console(pictures.released().picture(), token=TOKEN, host="0.0.0.0") as browser:  # noqa: S104 - as asked
        for path in ("/", "/decisions/7e0f3c52-6c1b-4f0e-9d1a-1f2e3d4c5b6a"):
            answer = browser.get(path)
            assert (answer.status, answer.headers["location"]) == (303, "/sign-in")
        assert browser.get("/events").status == 403
        assert "Candidates" not in browser.get("/sign-in").text
        browser.sign_in()
        assert "Candidates" in browser.get("/", host="console.example").text


def test_who_comes_by_another_name_through_a_proxy_signs_in_first() -> None:
    with console(pictures.released().picture(), token=TOKEN) as browser:
        for name in ("console.example", "evil.example:8600"):
            assert browser.get("/", host=name).headers["location"] == "/sign-in"
            assert browser.get("/events", host=name).status == 403
        browser.sign_in()
        assert "Candidates" in browser.get("/", host="console.example").text


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({**WISH, "kind": "forget"}, "is no order of this page"),
        ({**WISH, "actor": " "}, "an order needs a name"),
        ({**WISH, "reason": "x" * 201}, "at most 200 characters"),
    ],
)
def test_a_wish_that_is_none_is_refused_in_words(fields: dict[str, str], words: str) -> None:
    with console(pictures.released().picture(), token=TOKEN) as browser:
        browser.sign_in()
        answer = browser.post("/orders", **fields, form=browser.form_word())
    assert (answer.status, words in answer.text) == (400, True)


@pytest.mark.parametrize("body", [b"\xff", b"a=1&" * 30, b"a" * 20_000])
def test_a_form_that_is_none_is_refused(body: bytes) -> None:
    with pytest.raises(ConfigError):
        fields_of(body)
    assert fields_of(b"a=1&b=%C3%A4+x") == {"a": "1", "b": "ä x"}
