"""The guestbook as a WSGI application, with everything in place that it needs to answer."""

import os

import django
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "guestbook.settings")
django.setup(set_prefix=False)

from .first_start import prepare  # noqa: E402 - it imports models, which need setup()

# Before the application is made: WhiteNoise lists the static files once, when the middleware is loaded.
prepare()

application = get_wsgi_application()
