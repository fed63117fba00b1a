"""A Django site in a process of its own, whose manage.py is run as its user would."""

import json
import subprocess
import sys

SETTINGS = """
import json
CACHES = json.loads({caches!r})
INSTALLED_APPS = ["pinyon.django"]
SECRET_KEY = "not a secret: for tests"
"""
MANAGE = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "site_settings"
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""


def manage(directory, caches, *arguments, settings=""):
    """Run `manage.py *arguments` of a site with these CACHES and these lines of settings."""
    (directory / "site_settings.py").write_text(SETTINGS.format(caches=json.dumps(caches)) + settings)
    (directory / "manage.py").write_text(MANAGE)
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
