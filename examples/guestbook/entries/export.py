"""The guestbook as CSV."""

import csv
import io

COLUMNS = ("id", "created", "name", "message", "attachment", "attachment_size", "attachment_sha256")
PIECE = 16 * 1024


def csv_text(entries):
    """Yield the CSV text of a queryset of entries, in pieces of about `PIECE` characters.

    One piece per row would make a hundred times as many writes to the socket.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    for row in entries.values_list(*COLUMNS).iterator(chunk_size=500):
        writer.writerow(map(cell, row))
        if buffer.tell() >= PIECE:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def cell(value):
    """Return a value as a spreadsheet may see it: a visitor's "=1+1" is text there, not a formula."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value
