"""What has to be in place before the first request: tables, entries to look at, static files.

Every process that starts calls `prepare`. The first one does the work while the others wait for the lock,
and from the second start on there is nothing left to do but to look.
"""

import hashlib
import os
from collections.abc import Iterator

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.db import connection, connections
from django.db.migrations.executor import MigrationExecutor
from entries.seeds import sow

from .var import locked


def prepare() -> None:
    """Make everything ready. Several processes may call this at the same moment."""
    try:
        with locked(settings.VAR):
            if migrate_database() == "created":
                sow()
            create_superuser()
            if not settings.DEBUG:  # with DEBUG on, WhiteNoise reads the files where they are
                collect_static()
    finally:
        # A server may fork after this, and an SQLite connection must not be used on both sides of a fork.
        connections.close_all()


def migrate_database() -> str:
    """Bring the tables up to date, and return what was done: "created", "updated" or "nothing"."""
    executor = MigrationExecutor(connection)
    if not executor.migration_plan(executor.loader.graph.leaf_nodes()):
        return "nothing"
    done = "updated" if executor.loader.applied_migrations else "created"
    call_command("migrate", interactive=False, verbosity=0)
    return done


def create_superuser() -> None:
    """Create the user whom `createsuperuser`'s environment variables name, unless there is one already."""
    username = os.environ.get("DJANGO_SUPERUSER_USERNAME")
    password = os.environ.get("DJANGO_SUPERUSER_PASSWORD")
    users = get_user_model().objects
    if username and password and not users.filter(username=username).exists():
        users.create_superuser(username, os.environ.get("DJANGO_SUPERUSER_EMAIL", ""), password)


def collect_static() -> None:
    """Collect the static files when a source has changed since the last time, a newer Django's included."""
    stamp = settings.VAR / "static.stamp"
    fingerprint = hashlib.sha256("\n".join(static_sources()).encode()).hexdigest()
    if not stamp.exists() or stamp.read_text() != fingerprint:
        # Files that went away stay: a process of before still answers for pages that name them.
        call_command("collectstatic", interactive=False, verbosity=0)
        stamp.write_text(fingerprint)


def static_sources() -> Iterator[str]:
    """Yield a line for every source file, different when the file is."""
    for finder in get_finders():
        for name, storage in finder.list(None):
            stat = os.stat(storage.path(name))
            yield f"{name} {stat.st_size} {stat.st_mtime_ns}"
