"""A page as a real browser lays it out: a headless Chromium, where there is one."""

import html
import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
# Windows are at least 500 pixels wide, frames are not. A frame of the same origin may be looked into.
FRAME = """<!DOCTYPE html><body><iframe style="border: 0; width: {width}px; height: 800px" srcdoc="{page}"></iframe>
<script>
onload = () => {{
  const page = document.querySelector("iframe").contentDocument, root = page.documentElement;
  const box = it => it.getBoundingClientRect(), seen = it => box(it).width > 1 && box(it).height > 1;
  const all = [...page.body.querySelectorAll("*")].filter(seen);
  const full = it => it.clientWidth && it.tagName === it.tagName.toUpperCase() && it.scrollWidth > it.clientWidth;
  const cut = all.filter(it => box(it).right > root.clientWidth + 1 || full(it));
  const letters = all.filter(it => it.tagName === "text").map(
    it => it.getScreenCTM().a * parseFloat(page.defaultView.getComputedStyle(it).fontSize));
  const colours = page.defaultView.getComputedStyle(page.body);
  const found = {{
    cut: cut.map(it => it.tagName + ": " + it.textContent.trim().slice(0, 60)),
    smallest_px: letters.length ? Math.min(...letters) : null, ink: colours.color, paper: colours.backgroundColor,
  }};
  document.body.innerHTML = "<pre></pre>";
  document.querySelector("pre").textContent = JSON.stringify(found);
}};
</script></body>"""


@dataclass(frozen=True)
class Layout:
    """What there is to complain about.

    Attributes:
        cut: elements that reach beyond the right edge, or hold more than fits.
        smallest_px: height of the smallest letters in a plot; None without any.
        ink, paper: colours of the body, as CSS has them.
    """

    cut: list[str]
    smallest_px: float | None
    ink: str
    paper: str


def layout(page: str, width: int, folder: Path, *, dark: bool = False) -> Layout:
    """How the page is laid out at this width in pixels. Skips the test where there is no browser."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("no Chromium is installed")
    path = folder / "frame.html"
    path.write_text(FRAME.format(width=width, page=html.escape(page)), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    colours = ["--force-dark-mode"] if dark else []
    command = [program, *options, *colours, "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    said = done.stdout.partition("<pre>")[2].partition("</pre>")[0]
    found: dict[str, Any] = json.loads(html.unescape(said))
    return Layout(**found)
