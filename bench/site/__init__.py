"""The bookshop with one page more, which calls its cache six times: the site that pages.py measures."""
