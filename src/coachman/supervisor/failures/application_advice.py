"""What to try about an application's own error, by its type and message."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from typing import Final

from coachman.protocol.application_report import ApplicationReport

DISTRIBUTIONS: Final = {
    "attr": "attrs", "bs4": "beautifulsoup4", "Crypto": "pycryptodome", "cv2": "opencv-python",
    "dateutil": "python-dateutil", "dotenv": "python-dotenv", "environ": "django-environ", "git": "GitPython",
    "jose": "python-jose", "jwt": "PyJWT", "magic": "python-magic", "MySQLdb": "mysqlclient",
    "OpenSSL": "pyOpenSSL", "PIL": "Pillow", "pkg_resources": "setuptools",
    "rest_framework": "djangorestframework", "serial": "pyserial", "sklearn": "scikit-learn",
    "slugify": "python-slugify", "yaml": "PyYAML", "zmq": "pyzmq",
}  # fmt: skip
"""Modules whose distribution has another name."""

OWN_ERROR: Final = "coachman.errors.ApplicationError"


def error_advice(report: ApplicationReport) -> str:
    """Return what to try; the advice for the nearest of the error's types that has one to give."""
    for name in report.error.split():
        rule = _RULES.get(name)
        if rule is not None and (sentence := rule(report)):
            return sentence
    if "Connection refused" in report.message:  # in a library's own error
        return _connection_refused(report)
    return _look_there(report)


def _look_there(report: ApplicationReport) -> str:
    if report.file is None or report.error.startswith(OWN_ERROR):
        return ""
    return f"Look at {report.file}, line {report.line}: the error comes from there."


def _module_not_found(report: ApplicationReport) -> str:
    module = report.missing_module
    if module is None:
        return ""
    top = module.partition(".")[0]
    if report.virtual_environments:
        found = report.virtual_environments[0]
        there = f"{top} is installed in the virtual environment {found.folder}, which nobody activated"
        if found.coachman is not None:
            return f"{there}: start with `{found.coachman}` instead of coachman."
        return f"{there}: `{found.python} -m pip install coachman`, then start with its `bin/coachman`."
    if "is not a package" in report.message or (report.module_file is not None and "." in module):
        return (
            f"{module.rpartition('.')[0]} was loaded from {report.module_file} and has no such module in it. "
            "Where another one is meant, a file of the application has taken its name: rename that file."
        )
    if report.found_in is not None:
        return (
            f"{top} lies in {report.found_in}, which is not on sys.path: start from there, or set "
            f"`PYTHONPATH={report.found_in}`."
        )
    if not report.traceback:
        return f"There is no {top} in {report.root}: start from the folder that it lies in, or name the file."
    return (
        f"{top} is not installed for this interpreter: `{report.interpreter} -m pip install "
        f"{DISTRIBUTIONS.get(top, top)}`. If it is a part of the application, its folder is not on sys.path."
    )


def _import_error(report: ApplicationReport) -> str:
    if "partially initialized module" in report.message:
        return (
            "Two modules import each other: move one of the imports into the function that needs it, or what "
            "both need into a third module."
        )
    if "shared object" in report.message or "undefined symbol" in report.message:
        return (
            "An extension module does not find a library of the system, or another version of it: install "
            "that library, or install the package anew for this Python."
        )
    if report.module_file is not None:
        return (
            f"{report.missing_module} was loaded from {report.module_file}: see whether that is the version "
            "that the application was written for, and not a file of its own that has the same name."
        )
    return ""


def _syntax_error(report: ApplicationReport) -> str:
    if report.file is None:
        return ""
    return (
        f"Mend line {report.line} of {report.file}. This is Python {report.version}: code for a later one "
        "can also look wrong to it."
    )


def _attribute_error(report: ApplicationReport) -> str:
    if "partially initialized module" in report.message:
        return (
            _import_error(report)
            + " A file with the name of a library's module has the same effect: rename it."
        )
    if report.message.startswith("module "):
        return (
            "The module has no such name: see that it is the version the application was written for, and "
            "not a file of the application with the same name."
        )
    return ""


def _no_permission(report: ApplicationReport) -> str:
    quoted = re.search(r": '(.+)'$", report.message)
    if quoted is None:
        return (
            "The user that it runs as may not do that. Ports below 1024 belong to root; for all else look at "
            f"the owner and the mode of what {report.file}, line {report.line} uses."
        )
    return (
        f"The user that it runs as may not do that with {quoted[1]}: look at its owner and mode, and at "
        f"those of every folder above it (`namei -l {quoted[1]}`)."
    )


def _no_file(report: ApplicationReport) -> str:
    quoted = re.search(r": '(.+)'$", report.message)
    if quoted is None or quoted[1].startswith("/"):
        return ""
    return (
        f"{quoted[1]} is looked for from the application's folder, {report.root}: write the path relative to "
        "that, or build it from __file__."
    )


def _os_error(report: ApplicationReport) -> str:
    match report.errno:
        case errno.EADDRINUSE:
            return (
                "The application itself listens at an address that is taken. Under coachman it need not "
                "listen at all: put app.run() and its like under if __name__ == '__main__'."
            )
        case errno.EADDRNOTAVAIL:
            return "The application itself listens at an address that this machine does not have."
        case errno.ENOSPC:
            return "A disk is full (`df -h`), or out of inodes (`df -i`)."
        case errno.EMFILE | errno.ENFILE:
            return "It has too many files open: raise the limit (`ulimit -n`), or close some."
        case errno.EROFS:
            return "It writes to a file system that is mounted read-only: give it a folder elsewhere."
        case _:
            return ""


def _connection_refused(report: ApplicationReport) -> str:
    return (
        "Nothing listens where the application connects to: start that service first, look at its address in "
        "the settings, or connect upon the first request."
    )


def _django_settings(report: ApplicationReport) -> str:
    if "DJANGO_SETTINGS_MODULE" in report.message or "settings are not configured" in report.message:
        return (
            "Name the settings before Django is used: os.environ.setdefault('DJANGO_SETTINGS_MODULE', "
            "'PROJECT.settings') at the top of the startup file, or the variable in the environment. A "
            "project's own wsgi.py does that already."
        )
    if "SECRET_KEY" in report.message:
        return "Give the settings a SECRET_KEY; where they take it from the environment, set that variable."
    return "Look at that setting, and at the environment variables that it is taken from."


def _apps_not_ready(report: ApplicationReport) -> str:
    return "Call django.setup() (get_wsgi_application() does) before models are imported."


def _key_error(report: ApplicationReport) -> str:
    if "environ" not in report.traceback and "<frozen os>" not in report.traceback:
        return ""
    name = report.message.strip("'\"")
    return (
        f"The environment variable {name} is not set: set it for coachman, or give it a default in the code."
    )


def _system_exit(report: ApplicationReport) -> str:
    where = f" ({report.file}, line {report.line})" if report.file else ""
    why = (
        "what a script does when it is run belongs under if __name__ == '__main__'."
        if report.message.lstrip("-").isdecimal() or not report.message
        else "its message says why it has given up."
    )
    return f"The application ended itself while it was loaded{where}: {why}"


def _memory_error(report: ApplicationReport) -> str:
    return "Give it more memory (`ulimit -v`, the container's limit), or let it load less at its start."


def _recursion_error(report: ApplicationReport) -> str:
    return "Something calls itself without an end: the repeated lines of the traceback say what."


def _decode_error(report: ApplicationReport) -> str:
    if "'ascii' codec" in report.message:
        return "Set PYTHONUTF8=1, or a locale with UTF-8 (LANG=C.UTF-8): services often start without one."
    return ""


def _version_conflict(report: ApplicationReport) -> str:
    return f"Install the requirements for this interpreter: `{report.interpreter} -m pip install -r FILE`"


_RULES: Final[dict[str, Callable[[ApplicationReport], str]]] = {
    "ModuleNotFoundError": _module_not_found,
    "ImportError": _import_error,
    "SyntaxError": _syntax_error,
    "AttributeError": _attribute_error,
    "PermissionError": _no_permission,
    "FileNotFoundError": _no_file,
    "ConnectionRefusedError": _connection_refused,
    "OSError": _os_error,
    "KeyError": _key_error,
    "SystemExit": _system_exit,
    "MemoryError": _memory_error,
    "RecursionError": _recursion_error,
    "UnicodeDecodeError": _decode_error,
    "UnicodeEncodeError": _decode_error,
    "django.core.exceptions.ImproperlyConfigured": _django_settings,
    "django.core.exceptions.AppRegistryNotReady": _apps_not_ready,
    "importlib.metadata.PackageNotFoundError": _version_conflict,
}
"""By the name of the error's type."""
