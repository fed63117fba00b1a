"""Files in a directory."""

from __future__ import annotations

import glob
import hashlib
import os
import pickle
import time
from typing import IO, Any

from pinyon import _pinyon
from pinyon.django.asynchronous import in_file_threads
from pinyon.django.base import Backend, with_functions


@in_file_threads
@with_functions
class FileBasedCache(_pinyon.FileBasedCache, Backend):
    """Stands in for ``django.core.cache.backends.filebased.FileBasedCache``, on the same files.

    LOCATION is the directory. OPTIONS: MAX_ENTRIES (300), CULL_FREQUENCY (3), MAX_BYTES (none), SERIALIZER ("pickle"),
    ON_BAD_VALUE ("miss").
    """

    _backend_path = "pinyon.django.FileBasedCache"

    cache_suffix = ".djcache"
    pickle_protocol = pickle.HIGHEST_PROTOCOL

    # What sites and Django's own tests look at. Reading and writing happen in Rust and use none of these.

    def _key_to_file(self, key: Any, version: Any = None) -> str:
        """Return the path of the file of a key."""
        made = self.make_and_validate_key(key, version=version)
        name = hashlib.md5(made.encode(), usedforsecurity=False).hexdigest()
        return os.path.join(self._dir, name + self.cache_suffix)

    def _list_cache_files(self) -> list[str]:
        """Return the paths of all entries."""
        return glob.glob(os.path.join(glob.escape(self._dir), "*" + self.cache_suffix))

    def _is_expired(self, f: IO[bytes]) -> bool:
        """Return whether the entry in an open file has expired; close and remove it then."""
        try:
            expiry = pickle.load(f)
        except EOFError:
            expiry = 0  # an empty file
        if expiry is None or expiry >= time.time():
            return False
        f.close()
        self._delete(f.name)
        return True

    def _delete(self, fname: str) -> bool:
        """Remove a file of the directory; return whether it was there."""
        if not fname.startswith(self._dir):
            return False
        try:
            os.remove(fname)
        except FileNotFoundError:
            return False
        return True
