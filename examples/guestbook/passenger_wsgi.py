"""The file that Passenger and coachman look for: its `application` is the guestbook."""

import sys
from pathlib import Path

# An application server loads this file by its path, from any current directory.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from guestbook.wsgi import application

__all__ = ["application"]
