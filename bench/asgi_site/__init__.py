"""The bookshop with one page more, which calls its cache six times: the site that asgi_page.py measures."""
