"""Django's tests of messages in sessions, with the sessions in a cache.

Django's own class puts a plain dictionary in the place of the session; here it is a session, which is saved and loaded again.
"""

from importlib import import_module

from django.conf import settings
from django.test import override_settings
from messages_tests.test_session import SessionTests, stored_session_messages_count


class SavedSessionTests(SessionTests):
    """Not run by itself."""

    def get_request(self):
        request = super().get_request()
        request.session = self.session = import_module(settings.SESSION_ENGINE).SessionStore()
        return request

    def stored_messages_count(self, storage, response):
        session = storage.request.session
        session.save()
        storage.request.session = type(session)(session.session_key)
        try:
            return stored_session_messages_count(storage)
        finally:
            storage.request.session = session


@override_settings(SESSION_ENGINE="django.contrib.sessions.backends.cache")
class CacheSessionMessageTests(SavedSessionTests):
    pass


@override_settings(SESSION_ENGINE="django.contrib.sessions.backends.cached_db")
class CacheDBSessionMessageTests(SavedSessionTests):
    pass
