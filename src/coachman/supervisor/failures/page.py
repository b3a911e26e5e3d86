"""Parts of an HTML page, as text. Everything that is given to them is escaped here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from coachman.protocol.journey import Journey
from coachman.protocol.text import sendable
from coachman.supervisor.durations import duration
from coachman.supervisor.failures.page_style import STYLE
from coachman.supervisor.failures.printed import PrintedLine

POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def document(title: str, parts: Iterable[str], *, failed: bool) -> str:
    """Return a whole page, in one file that loads nothing."""
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            # Nothing may be loaded and no script run, should an escape ever be forgotten.
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            f"<title>{_text(title)}</title>",
            f"<style>{STYLE}</style>",
            "</head>",
            f'<body class="{"bad" if failed else "good"}">',
            "<main>",
            *parts,
            "</main>",
            "<footer>Written by coachman. It tells paths and names of this machine: look at it before you "
            "pass it on.</footer>",
            "</body>",
            "</html>",
            "",
        ]
    )


def heading(over: str, title: str, where: str = "") -> str:
    """Return the top of the page."""
    place = f'\n<p class="where mono">{_text(where)}</p>' if where else ""
    return f'<p class="over">{_text(over)}</p>\n<h1>{_text(title)}</h1>{place}'


def hint(sentence: str) -> str:
    """Return the box with what to try; what stands between backquotes is a command."""
    parts = _text(sentence).split("`")
    marked = "".join(f"<code>{part}</code>" if n % 2 else part for n, part in enumerate(parts))
    return f'<p class="hint"><b>What to try</b> {marked}</p>'


def quotation(title: str, text: str) -> str:
    """Return a section with text as it was written."""
    return f"<h2>{_text(title)}</h2>\n<pre>{_text(text)}</pre>"


def printed(title: str, lines: Iterable[PrintedLine]) -> str:
    """Return a section with what a process printed."""
    body = "\n".join(
        f"<i>{_text(line.stream)}:</i> {_text(line.text)}" if line.stream else f"<i>{_text(line.text)}</i>"
        for line in lines
    )
    return f"<h2>{_text(title)}</h2>\n<pre>{body}</pre>"


def journey(title: str, travelled: Journey, *, failed: bool) -> str:
    """Return a section with every step, its time and a bar for it."""
    stages = travelled.stages()
    longest = max((stage.seconds for stage in stages), default=0) or 1
    rows = []
    for number, stage in enumerate(stages):
        broken = failed and number == len(stages) - 1
        name = stage.step.value + (" (failed here)" if broken else "")
        rows.append(
            f"<tr{' class=failed' if broken else ''}><th>{_text(name)}</th>"
            f'<td class="number">{duration(stage.seconds)}</td>'
            f'<td class="bar"><span style="width: {stage.seconds / longest * 100:.1f}%"></span></td></tr>'
        )
    return f"<h2>{_text(title)}</h2>\n<table>{''.join(rows)}</table>"


def facts(title: str, pairs: Iterable[tuple[str, str]], *, folded: bool = False) -> str:
    """Return a section with names and values, which can be folded away."""
    rows = "".join(f'<tr><th>{_text(k)}</th><td class="mono">{_text(v)}</td></tr>' for k, v in pairs)
    return _section(title, f'<table class="facts">{rows}</table>', folded=folded)


def table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a section with columns, all but the first of them numbers."""

    def cells(values: Sequence[str], tag: str) -> str:
        return "".join(
            f"<{tag}{' class=number' if column else ''}>{_text(value)}</{tag}>"
            for column, value in enumerate(values)
        )

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return f"<h2>{_text(title)}</h2>\n<table><tr>{cells(header, 'th')}</tr>{body}</table>"


def listing(title: str, lines: Iterable[str]) -> str:
    """Return a section with lines, folded away."""
    return _section(title, f"<pre>{_text(chr(10).join(lines))}</pre>", folded=True)


def _section(title: str, body: str, *, folded: bool) -> str:
    if folded:
        return f"<details><summary>{_text(title)}</summary>\n{body}\n</details>"
    return f"<h2>{_text(title)}</h2>\n{body}"


def _text(text: str) -> str:
    # Bytes that are no UTF-8, and characters that HTML does not allow, are written as escapes.
    return escape(
        "".join(c if c in "\n\t" or c.isprintable() else f"\\x{ord(c):02x}" for c in sendable(text))
    )
