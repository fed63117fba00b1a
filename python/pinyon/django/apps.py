"""``pinyon.django`` in INSTALLED_APPS: the system checks, and ``manage.py pinyon``."""

from __future__ import annotations

from django.apps import AppConfig


class PinyonConfig(AppConfig):
    """Has no models. The backends work without it."""

    name = "pinyon.django"
    label = "pinyon"
    verbose_name = "Pinyon"

    def ready(self) -> None:
        from pinyon.django import checks

        checks.register()
