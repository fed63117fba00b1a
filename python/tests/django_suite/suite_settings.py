"""Settings for Django's tests: what its own tests/runtests.py and tests/test_sqlite.py set, as far as caches need it."""

import copy

from django.utils.log import DEFAULT_LOGGING

DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3"},
    "other": {"ENGINE": "django.db.backends.sqlite3"},
}
SECRET_KEY = "not a secret: for tests"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = False
LANGUAGE_CODE = "en"
SITE_ID = 1
STATIC_URL = "static/"
ROOT_URLCONF = "urls"
MIGRATION_MODULES = {"auth": None, "contenttypes": None, "sessions": None}
SILENCED_SYSTEM_CHECKS = ["fields.W342"]
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sites",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.staticfiles",
    # test_middleware_mixin imports their middlewares.
    "django.contrib.flatpages",
    "django.contrib.redirects",
    "cache",
    "messages_tests",
    "sessions_tests",
    "template_tests",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
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
    }
]
LOGGING = copy.deepcopy(DEFAULT_LOGGING)
LOGGING["loggers"]["django"]["level"] = "ERROR"
