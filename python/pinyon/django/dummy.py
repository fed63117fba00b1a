"""Nothing at all."""

from __future__ import annotations

from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT

from pinyon import _pinyon
from pinyon.django.asynchronous import at_once
from pinyon.django.base import Backend


@at_once
class DummyCache(Backend):
    """Stands in for ``django.core.cache.backends.dummy.DummyCache``: checks keys, stores nothing, finds nothing.

    LOCATION and OPTIONS may be those of the cache that it takes the place of, and are not read.
    """

    _backend_path = "pinyon.django.DummyCache"

    def _configure(self, configuration: _pinyon.Configuration) -> None:
        """There is nothing to open."""

    def _note_patched(self) -> None:
        """No method here has a stand-in in Rust that would have to know."""

    def get(self, key: Any, default: Any = None, version: Any = None) -> Any:
        self.make_and_validate_key(key, version=version)
        return default

    def set(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> None:
        self.make_and_validate_key(key, version=version)

    def add(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> bool:
        self.make_and_validate_key(key, version=version)
        return True

    def touch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> bool:
        self.make_and_validate_key(key, version=version)
        return False

    def delete(self, key: Any, version: Any = None) -> bool:
        self.make_and_validate_key(key, version=version)
        return False

    def has_key(self, key: Any, version: Any = None) -> bool:
        self.make_and_validate_key(key, version=version)
        return False

    def ttl(self, key: Any, version: Any = None) -> int:
        """0: there is no entry."""
        self.make_and_validate_key(key, version=version)
        return 0

    def clear(self) -> None:
        """There is nothing to remove."""
