"""The page in a real browser: nothing of the data runs, and the table of types is searched."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest
from report_page import Page, full

from sinoner.report import html

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
EVIL = "document.title='evil';document.documentElement.setAttribute('data-evil','1');alert(1)"
HOSTILE = (
    f'</script></textarea></style></title><script>{EVIL}</script><img src=x onerror="{EVIL}">'
    f'<svg onload="{EVIL}"><a href="javascript:{EVIL}">]]><!--\u2028\'" onfocus="{EVIL}" autofocus x="'
)


def seen(page: str, folder: Path, language: str = "en") -> Page:
    """What a browser makes of the page."""
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", "--virtual-time-budget=3000",
        f"--user-data-dir={folder / 'profile'}", f"{path.as_uri()}#{language}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, timeout=60, check=True)
    return Page(done.stdout.decode())


def driven(page: str, script: str) -> str:
    """The page with one more script that its policy allows: the hand of a person."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert page.count("script-src '") == 1
    page = page.replace("script-src '", f"script-src 'sha256-{digest}' '")
    return page.replace("</body>", f"<script>{script}</script></body>")


def names(page: Page) -> list[str]:
    """The types that the table shows."""
    return [t for path, t in page.texts if ("table", "inventory") in path and path[-1] == ("th", "data")]


SEARCH = """document.addEventListener("DOMContentLoaded", function () {
  var box = document.getElementById("type-find");
  box.value = "％S1";
  box.dispatchEvent(new Event("input"));
});"""
SORT = """document.addEventListener("DOMContentLoaded", function () {
  document.querySelector('button[data-column="type"]').click();
  document.querySelector('button[data-lang="1"]').click();
  document.getElementById("ui").click();
});"""


def test_nothing_of_the_data_runs_and_the_table_shows_it_as_text(tmp_path: Path) -> None:
    page = seen(html.render(full(HOSTILE)), tmp_path)
    root = next(a for t, a in page.elements if t == "html")
    assert root["data-ui"] == "en"  # the page's own script did run
    assert "data-evil" not in root
    assert page.text("title")[0] == f"{HOSTILE} · sinoner"
    assert {t for t, _ in page.elements}.isdisjoint({"img", "textarea", "iframe"})
    assert not any(name.startswith("on") for _, a in page.elements for name in a)
    assert [t[:18] for t in names(page)] == ["</script></textare"] * 4


def test_the_browser_would_show_it_if_something_ran_and_the_policy_stops_what_is_injected(
    tmp_path: Path,
) -> None:
    page = html.render(full())
    injected = f"<script>{EVIL.replace('alert(1)', '')}</script></body>"
    policed = seen(page.replace("</body>", injected), tmp_path)
    assert "data-evil" not in next(a for t, a in policed.elements if t == "html")
    free = page.replace('http-equiv="Content-Security-Policy"', 'name="x"').replace("</body>", injected)
    assert next(a for t, a in seen(free, tmp_path).elements if t == "html")["data-evil"] == "1"


def test_search_finds_names_in_any_width_and_case(tmp_path: Path) -> None:
    page = seen(driven(html.render(full("%s")), SEARCH), tmp_path)
    assert names(page) == ["%s1", "%s1"]
    assert page.text("span", "n-found") == ["2"]


def test_sorting_and_the_languages_of_data_and_page(tmp_path: Path) -> None:
    page = seen(driven(html.render(full("x")), SORT), tmp_path)
    assert names(page) == ["x0", "x1"]  # one language, by name
    assert next(a for t, a in page.elements if t == "html")["lang"] == "zh-Hans"
    top = next(a for _, a in page.elements if a.get("id") == "type-top")
    assert "hidden" in top
