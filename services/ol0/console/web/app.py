"""The addresses of the console."""

from collections.abc import Mapping
from typing import Annotated, Final

from fastapi import Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException

from ol0.console.decisions.search import Bounds
from ol0.console.decisions.trace import trace
from ol0.console.orders import Done, Rehearsal, Wish
from ol0.console.view.page import page_of
from ol0.console.web.access import SESSION_S
from ol0.console.web.desk import Desk
from ol0.console.web.events import events
from ol0.console.web.forms import fields_of
from ol0.console.web.rendering import policy, render, style
from ol0.errors import ConfigError, OL0Error
from ol0.records import OperatorKind

MOST_HOURS: Final = 24.0 * 31
TITLES: Final = {400: "That is not understood", 403: "Not allowed", 404: "There is no such page", 503: "No answer"}
SEE_OTHER: Final = 303
VERBS: Final = {
    OperatorKind.FREEZE: "Freeze",
    OperatorKind.THAW: "Thaw",
    OperatorKind.PIN: "Pin",
    OperatorKind.ROLLBACK: "Roll back",
}


class Refused(Exception):  # noqa: N818 - an answer, not a fault
    """An answer that is not what was asked for: its status, and why in words."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


def make_app(desk: Desk) -> FastAPI:
    """The application: pages to read for everybody who may look, and orders for those who have the token."""
    app = FastAPI(title="OL0 console", docs_url=None, redoc_url=None, openapi_url=None)
    _add_errors(app, desk)
    _add_pages(app, desk)
    _add_sessions(app, desk)
    _add_orders(app, desk)
    return app


async def _fields(request: Request) -> dict[str, str]:
    """The form of a request."""
    return fields_of(await request.body())


Hours = Annotated[float, Query(ge=0, le=MOST_HOURS, allow_inf_nan=False)]
Fields = Annotated[dict[str, str], Depends(_fields)]


def _add_pages(app: FastAPI, desk: Desk) -> None:
    @app.get("/")
    def page(request: Request, full: bool = False) -> Response:  # noqa: FBT001, FBT002 - how FastAPI writes a query
        if (elsewhere := _to_sign_in(desk, request)) is not None:
            return elsewhere
        view = page_of(desk.watch.picture, desk.settings, desk.clock_ms(), full=full)
        return _answer(desk, request, "page", {"page": view, "orders": _orders(desk, request)})

    @app.get("/events")
    async def news(request: Request) -> Response:
        _check_may_look(desk, request)
        return StreamingResponse(events(desk), media_type="text/event-stream", headers=_headers())

    @app.get("/decisions")
    def ask(request: Request, id: str = "") -> Response:  # noqa: A002 - the name in the address
        _check_may_look(desk, request)
        return RedirectResponse(f"/decisions/{_plain(id)}" if id.strip() else "/", SEE_OTHER, _headers())

    @app.get("/decisions/{decision_id}")
    def decision(request: Request, decision_id: str, hours: Hours = 24.0) -> Response:
        if (elsewhere := _to_sign_in(desk, request)) is not None:
            return elsewhere
        if not desk.searching.acquire(blocking=False):
            raise Refused(503, "Others search at this moment, as many as may: try again in some seconds.")
        try:
            found = desk.search(decision_id, Bounds(hours=hours))
        finally:
            desk.searching.release()
        view = trace(found, desk.settings.streaming, desk.clock_ms())
        return _answer(desk, request, "decision", {"trace": view, "hours": found.bounds.hours})

    @app.get("/style.css")
    def style_sheet() -> Response:
        return Response(style(), media_type="text/css", headers={**_headers(), "Cache-Control": "max-age=60"})


def _add_sessions(app: FastAPI, desk: Desk) -> None:
    @app.get("/sign-in")
    def form(request: Request) -> Response:
        return _answer(desk, request, "sign_in", {"wrong": False})

    @app.post("/sign-in")
    def sign_in(request: Request, fields: Fields) -> Response:
        session = desk.access.open_session(fields.get("token", ""))
        if session is None:
            return _answer(desk, request, "sign_in", {"wrong": True}, 403)
        answer = RedirectResponse("/", SEE_OTHER, _headers())
        answer.set_cookie(_cookie(desk), session, max_age=round(SESSION_S), httponly=True, samesite="strict")
        return answer

    @app.post("/sign-out")
    def sign_out(request: Request, fields: Fields) -> Response:
        _check_own_form(desk, request, fields)
        desk.access.close_session(_session(desk, request))
        answer = RedirectResponse("/", SEE_OTHER, _headers())
        answer.delete_cookie(_cookie(desk))
        return answer


def _add_orders(app: FastAPI, desk: Desk) -> None:
    @app.post("/orders")
    def rehearse(request: Request, fields: Fields) -> Response:
        _check_own_form(desk, request, fields)
        return _rehearsal(desk, request, desk.rehearse(Wish.of(fields)), moved=False)

    @app.post("/orders/give")
    def give(request: Request, fields: Fields) -> Response:
        _check_own_form(desk, request, fields)
        after = desk.give(Wish.of(fields), fields.get("seal", ""))
        if isinstance(after, Rehearsal):
            return _rehearsal(desk, request, after, moved=True)
        return _answer(desk, request, "done", {"done": _done(after), "kind": fields.get("kind", "")})


def _add_errors(app: FastAPI, desk: Desk) -> None:
    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> Response:
        return _error(desk, request, error.status, error.text)

    @app.exception_handler(HTTPException)
    async def missing(request: Request, error: HTTPException) -> Response:
        return _error(desk, request, error.status_code, str(error.detail))

    @app.exception_handler(RequestValidationError)
    async def senseless(request: Request, error: RequestValidationError) -> Response:
        found = ", ".join(f"{it['loc'][-1]}: {it['msg']}" for it in error.errors())
        return _error(desk, request, 400, f"{found}.")

    @app.exception_handler(OL0Error)
    async def explained(request: Request, error: OL0Error) -> Response:
        return _error(desk, request, 400 if isinstance(error, ConfigError) else 503, str(error))

    @app.exception_handler(Exception)
    async def failed(request: Request, _: Exception) -> Response:
        """The server logs the error itself."""
        return _error(desk, request, 500, "The console has a fault; its log has the details. Reloading may help.")


def _error(desk: Desk, request: Request, status: int, text: str) -> Response:
    title = TITLES.get(status, "That did not work")
    return _answer(desk, request, "error", {"title": title, "text": text}, status)


def _answer(
    desk: Desk, request: Request, template: str, values: Mapping[str, object], status: int = 200
) -> HTMLResponse:
    session = _session(desk, request)
    is_open = desk.access.is_open(session)
    shared = {
        "lineage": desk.settings.kafka.topic_prefix,
        "may_sign_in": desk.access.token is not None and not is_open,
        "form_word": desk.access.form_word(session or "") if is_open else "",
    }
    return HTMLResponse(render(template, {**shared, **values}), status, _headers())


def _rehearsal(desk: Desk, request: Request, rehearsal: Rehearsal, *, moved: bool) -> Response:
    values = {"rehearsal": rehearsal, "moved": moved and bool(rehearsal.changes), "verb": VERBS[rehearsal.wish.kind]}
    return _answer(desk, request, "order", values)


def _done(done: Done) -> Mapping[str, object]:
    return {"digest": done.digest, "step": done.step, "sequence": done.sequence, "is_frozen": done.is_frozen}


def _orders(desk: Desk, request: Request) -> Mapping[str, object] | None:
    """What the forms offer; None: there are no forms, for this session may give no orders."""
    if not desk.access.is_open(_session(desk, request)):
        return None
    known = desk.watch.picture.known
    live = None if known.serving is None else known.serving.live
    steps = {it.digest: it.step for it in known.transitions if it.to_phase == "live" and it.digest != live}
    barred = {it.digest for it in known.transitions if it.to_phase == "quarantined"}
    former = [(digest, step) for digest, step in steps.items() if digest not in barred][::-1]
    staged = None if known.serving is None or known.serving.staged is None else known.serving.staged.digest
    return {"live": live, "staged": staged, "former": former, "kinds": OperatorKind}


def _session(desk: Desk, request: Request) -> str | None:
    return request.cookies.get(_cookie(desk))


def _cookie(desk: Desk) -> str:
    """Ports share their cookies, so consoles of two lineages have each their own."""
    return f"ol0_console_{desk.settings.kafka.topic_prefix}"


def _may_look(desk: Desk, request: Request) -> bool:
    return desk.access.may_look(request.headers.get("host", ""), _session(desk, request))


def _check_may_look(desk: Desk, request: Request) -> None:
    if not _may_look(desk, request):
        how = "localhost or 127.0.0.1 alone" if desk.access.token is None else "another name: sign in first"
        raise Refused(403, f"This console is called by {how}.")


def _to_sign_in(desk: Desk, request: Request) -> Response | None:
    """Where a request that may see nothing yet is sent; None: it may.

    Raises:
        Refused: there is no way to sign in.
    """
    if desk.access.token is None:
        _check_may_look(desk, request)
    return None if _may_look(desk, request) else RedirectResponse("/sign-in", SEE_OTHER, _headers())


def _check_own_form(desk: Desk, request: Request, fields: Mapping[str, str]) -> None:
    if not desk.access.is_own_form(_session(desk, request), fields.get("form", "")):
        raise Refused(403, "This form is not one of your session, or the session has ended: sign in and try again.")


def _plain(text: str) -> str:
    """What an address may hold of a text."""
    return "".join(char for char in text.strip() if char.isalnum() or char == "-")[:80] or "none"


def _headers() -> dict[str, str]:
    return {
        "Content-Security-Policy": policy(),
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
