"""Shows on each page what it cost."""

import time

from django.db import connection


class PageCost:
    """Measures a page and writes milliseconds and queries where its template says `<!-- page cost -->`.

    Outside of what `cache_page` stores: a page from the cache shows what this visit cost, not what the first did.
    """

    PLACE = b"<!-- page cost -->"

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        queries = 0

        def count(execute, *args):
            nonlocal queries
            queries += 1
            return execute(*args)

        start = time.perf_counter()
        with connection.execute_wrapper(count):
            response = self.get_response(request)
        milliseconds = (time.perf_counter() - start) * 1000
        response["Server-Timing"] = f'page;dur={milliseconds:.2f}, queries;desc="{queries}"'
        if not response.streaming:
            noun = "query" if queries == 1 else "queries"
            cost = f"<b>{milliseconds:.1f} ms</b>, <b>{queries}</b> {noun}"
            response.content = response.content.replace(self.PLACE, cost.encode())
        return response
