"""Many sessions at once on one event loop, with experts that block and run in a thread pool.

Run it: python examples/asyncio_host.py ol0.toml 200
"""

import asyncio
import sys
import time
from pathlib import Path

from embedding import embed
from ol0 import Router
from ol0.config import load_settings
from ol0.sdk.feedback import ToolResult


def call(expert: int, text: str) -> str:
    """Stands in for a call that blocks, of a model or a tool."""
    return f"expert {expert} on {text!r}"


async def session(router: Router, number: int) -> None:
    """Two turns. A prompt belongs to one task; the router is shared by all, and by the threads."""
    name = f"session-{number}"
    for turn in range(2):
        text = f"question {turn} of {name}"
        with router.prompt(name, user=f"user-{number % 10}", turn=turn) as prompt:
            choice = prompt.decide(embed(text, router.dimension))
        began_s = time.perf_counter()
        answer = await asyncio.to_thread(call, choice.action[0], text)
        result = ToolResult("expert", success=bool(answer), latency_ms=1000 * (time.perf_counter() - began_s))
        router.report(choice.decision_id, name, tool=result)


async def main(config: Path, sessions: int) -> None:
    """All sessions, then what became of their records. Opening and closing wait for Kafka: in a thread."""
    router = await asyncio.to_thread(Router.open, load_settings(config))
    try:
        async with asyncio.TaskGroup() as tasks:
            for number in range(sessions):
                tasks.create_task(session(router, number))
    finally:
        await asyncio.to_thread(router.close)
    print(f"{router.account.delivered} records delivered, {router.dropped} lost")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
