"""The page of a failure in a real browser."""

from __future__ import annotations

import re
import struct
import subprocess
import zlib
from pathlib import Path

import pytest

from .applications import HELLO, write_application
from .coachman_check import check
from .programs import installed

HOSTILE = "raise RuntimeError('<script>document.title = 1</script><img src=x onerror=alert(1)>')"

PHONE = 360
"""Pixels, as the style sheet counts them, that the narrowest phones have."""


class Chromium:
    """The chromium of the machine, which talks to nobody."""

    def __init__(self, path: str, profile: Path) -> None:
        self._command = [
            path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
            "--disable-dev-shm-usage", "--hide-scrollbars", f"--user-data-dir={profile}",
        ]  # fmt: skip

    def dom(self, page: Path) -> str:
        """Return the page as the browser understood it."""
        return self._run(page, "--dump-dom").decode()

    def width_on_a_phone(self, page: Path) -> int:
        """Return how many pixels wide the page is where it is given `PHONE`; more: it has to be scrolled."""
        # In a frame, because a window of the browser's has 500 at least.
        outer = page.with_name("phone.html")
        outer.write_text(
            f'<iframe src="{page.name}" style="width: {PHONE}px"></iframe>'
            "<script>onload = () => {document.title = 'width ' + document.querySelector('iframe')"
            ".contentDocument.documentElement.scrollWidth}</script>"
        )
        found = re.search(
            r"<title>width (\d+)</title>",
            self._run(outer, "--dump-dom", "--allow-file-access-from-files").decode(),
        )
        assert found, "the script has not run"
        return int(found[1])

    def screenshot(self, page: Path, picture: Path, *, width: int, height: int, dark: bool) -> list[bytes]:
        """Take a picture and return its rows of pixels."""
        options = [f"--screenshot={picture}", f"--window-size={width},{height}"]
        if dark:
            options.append("--blink-settings=preferredColorScheme=0")
        self._run(page, *options)
        return rows_of_png(picture.read_bytes())

    def _run(self, page: Path, *options: str) -> bytes:
        done = subprocess.run(
            [*self._command, *options, page.as_uri()], capture_output=True, timeout=90, check=False
        )
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        return done.stdout


def rows_of_png(data: bytes) -> list[bytes]:
    """Return the picture's rows, still filtered: enough to tell them apart."""
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    at, pixels, height = 8, b"", 0
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + size]
        if kind == b"IHDR":
            _, height = struct.unpack(">II", body[:8])
        elif kind == b"IDAT":
            pixels += body
        at += size + 12
    raw = zlib.decompress(pixels)
    length = len(raw) // height
    return [raw[start : start + length] for start in range(0, len(raw), length)]


@pytest.fixture
def chromium(tmp_path: Path) -> Chromium:
    path = installed("chromium", "chromium", "chromium-browser", "google-chrome")
    return Chromium(path, tmp_path / "profile")


@pytest.fixture
def page(tmp_path: Path) -> Path:
    file = tmp_path / "failure.html"
    write_application(tmp_path, "print('<b>loading</b>')", HOSTILE)
    assert check(tmp_path, "--html", file).returncode == 1
    return file


def test_the_browser_reads_the_page_as_it_was_meant(chromium: Chromium, page: Path) -> None:
    dom = chromium.dom(page)
    assert re.search(r"<title>[^<]*could not be started</title>", dom)
    assert "&lt;script&gt;document.title = 1&lt;/script&gt;" in dom
    assert "<script" not in dom
    assert "<img" not in dom
    assert "&lt;b&gt;loading&lt;/b&gt;" in dom
    assert dom.count("Traceback (most recent call last)") == 1


@pytest.mark.parametrize("width", [1200, 500])
def test_the_page_is_drawn_light_and_dark(chromium: Chromium, page: Path, tmp_path: Path, width: int) -> None:
    light = chromium.screenshot(page, tmp_path / "light.png", width=width, height=900, dark=False)
    dark = chromium.screenshot(page, tmp_path / "dark.png", width=width, height=900, dark=True)
    for rows in (light, dark):
        assert len(set(rows)) > 100, "there is more than an empty page"
    assert light != dark


def test_a_phone_shows_the_whole_width_of_a_failure(chromium: Chromium, tmp_path: Path) -> None:
    file = tmp_path / "failure.html"
    write_application(tmp_path, "print('long' * 100)", f"raise RuntimeError('{'x' * 300}')")
    assert check(tmp_path, "--html", file).returncode == 1
    assert chromium.width_on_a_phone(file) == PHONE


def test_a_phone_shows_the_whole_width_of_a_start(chromium: Chromium, tmp_path: Path) -> None:
    file = tmp_path / "start.html"
    name = "a_module_with_a_name_that_is_much_longer_than_most_of_them_are"
    write_application(tmp_path, "import time\nnothing = time.sleep(0)", name=f"{name}.py")
    write_application(tmp_path, f"import {name}", HELLO)
    assert check(tmp_path, "--html", file).returncode == 0
    assert name in file.read_text()
    assert chromium.width_on_a_phone(file) == PHONE
