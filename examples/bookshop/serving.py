"""Serves the site with what Python and Django bring along: enough to look around, not for the internet."""

import errno
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

PORT = 8000


class Server(ThreadingMixIn, WSGIServer):
    """A thread for each request, none of which keeps the program from ending."""

    daemon_threads = True


class QuietHandler(WSGIRequestHandler):
    """Leaves the terminal alone."""

    def log_message(self, format, *args):
        pass


def bind(application):
    """A server on 127.0.0.1, on port 8000 or, if that is taken, any free one."""
    try:
        server = Server(("127.0.0.1", PORT), QuietHandler)
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        server = Server(("127.0.0.1", 0), QuietHandler)
    server.set_app(application)
    return server
