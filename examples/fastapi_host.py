"""A web service that routes, takes thumbs, and shows its router's figures to Prometheus.

Run it: SETTINGS=ol0.toml uvicorn --app-dir examples fastapi_host:app
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

from fastapi import FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from pydantic import BaseModel

from embedding import embed
from ol0 import Router
from ol0.config import load_settings
from ol0.records import DecisionId
from ol0.sdk.metrics import RouterMetrics


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """One router for the life of the process. A second worker process opens its own."""
    with Router.open(load_settings(Path(os.environ["SETTINGS"]))) as router:
        app.state.router, app.state.registry = router, CollectorRegistry()
        app.state.registry.register(RouterMetrics(router))
        yield


app = FastAPI(lifespan=lifespan)


class Question(BaseModel):
    """What somebody asks."""

    session: str
    user: str
    text: str


class Thumb(BaseModel):
    """What they think of the answer."""

    session: str
    user: str
    decision: str
    thumb: Literal[-1, 1]


@app.post("/ask")
async def ask(question: Question, request: Request) -> dict[str, str | int]:
    """Decides. It takes microseconds and waits for nothing, so it may run on the event loop."""
    router: Router = request.app.state.router
    with router.prompt(question.session, user=question.user) as prompt:
        choice = prompt.decide(embed(question.text, router.dimension))
    return {"expert": choice.action[0], "decision": choice.decision_id}


@app.post("/thumb")
async def thumb(given: Thumb, request: Request) -> dict[str, bool]:
    """Passes a thumb on. It counts if it comes within the reward window."""
    router: Router = request.app.state.router
    sent = router.report(DecisionId(given.decision), given.session, thumb=given.thumb, user=given.user)
    return {"sent": sent}


@app.get("/metrics")
async def metrics(request: Request) -> Response:
    """For Prometheus."""
    return Response(generate_latest(request.app.state.registry), media_type=CONTENT_TYPE_LATEST)
