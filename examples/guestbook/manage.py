#!/usr/bin/env python
"""Django's command line for the guestbook: `python manage.py createsuperuser` and the like."""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "guestbook.settings")
    execute_from_command_line(sys.argv)
