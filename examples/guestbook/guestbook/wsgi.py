"""The guestbook as a WSGI application, with everything in place that it needs to answer."""

import os

import django
from django.core.wsgi import get_wsgi_application
from django.template.loader import get_template
from django.urls import get_resolver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "guestbook.settings")
django.setup(set_prefix=False)

from .first_start import prepare  # noqa: E402 - it imports models, which need setup()

# Before the application is made: WhiteNoise lists the static files once, when the middleware is loaded.
prepare()

application = get_wsgi_application()

# Django would load these with the first request. Loaded here, they are in memory that all workers share where
# the server forks them from one process that has the application loaded.
get_resolver().url_patterns  # noqa: B018 - reading it imports the views
for name in ("entry_list", "entry_form", "upload"):
    get_template(f"entries/{name}.html")
