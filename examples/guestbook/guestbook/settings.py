"""Django's settings for the guestbook.

Environment variables: `GUESTBOOK_VAR` (the folder of all data), `GUESTBOOK_DEBUG=1` (development) and
`GUESTBOOK_HOSTS` (further host names to answer to, separated by commas).
"""

import os

from .var import secret_key, var_folder

VAR = var_folder()

SECRET_KEY = secret_key(VAR)
DEBUG = os.environ.get("GUESTBOOK_DEBUG") == "1"
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]
ALLOWED_HOSTS += filter(None, os.environ.get("GUESTBOOK_HOSTS", "").split(","))

ROOT_URLCONF = "guestbook.urls"
INSTALLED_APPS = [
    "entries",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": VAR / "guestbook.sqlite3",
        # A connection costs more than the front page's queries, and a server's threads live long.
        "CONN_MAX_AGE": None,
        "OPTIONS": {
            # WAL: readers and the one writer do not block each other, across processes too.
            # NORMAL is safe with WAL: a power cut may lose the last commits and never corrupts.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            # A transaction takes the write lock when it begins, where SQLite waits for it. One that reads
            # first and writes later fails at once ("database is locked") if another wrote in between.
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,  # seconds to wait for the write lock
        },
    }
}

STATIC_URL = "static/"
STATIC_ROOT = VAR / "static"
MEDIA_ROOT = VAR / "media"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    # Names with a hash of the content, so that browsers keep the files for ever; gzipped beforehand.
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

FILE_UPLOAD_HANDLERS = ["entries.uploads.HashingUploadHandler"]
# On the file system of MEDIA_ROOT, so that an upload is kept by renaming it, not by copying.
FILE_UPLOAD_TEMP_DIR = VAR / "uploads"

# Cookies belong to a host and not to a port: other Django sites on localhost use the default names.
SESSION_COOKIE_NAME = "guestbook_session"
CSRF_COOKIE_NAME = "guestbook_csrf"
# In a cookie and not in the session, so that the front page makes no query for them.
MESSAGE_STORAGE = "django.contrib.messages.storage.cookie.CookieStorage"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

LANGUAGE_CODE = "en"
USE_I18N = False  # one language: no look-ups per string
TIME_ZONE = "UTC"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        # Without Django's own handlers, which mail the administrators: everything goes to the root's.
        "django": {"handlers": [], "propagate": True},
        # A visitor's wrong address is no event; an exception in a view is.
        "django.request": {"level": "ERROR"},
    },
}
