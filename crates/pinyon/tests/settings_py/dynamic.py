"""What only Python knows."""

import sys

import environ

env = environ.Env()

CACHES = {
    "default": env.cache("CACHE_URL"),
    "half": {"BACKEND": "memory", "TIMEOUT": env.int("TIMEOUT"), "KEY_PREFIX": "half"},
    "whole": {"BACKEND": "memory"},
    "changed": {"BACKEND": "memory"},
    "unset": {"BACKEND": "memory", "KEY_PREFIX": os_environ_is_not_imported},
}
if "test" in sys.argv:
    CACHES["changed"] = {"BACKEND": "dummy"}
