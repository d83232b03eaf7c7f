"""A request to a server of which nothing is believed: not that it hurries, nor where it leads."""

import io
import time
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from socket import socket
from typing import Any
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
)

SLOWEST = 4_000  # bytes per second, headers included


class Useless(Exception):
    """Asking the same source again is of no use; ``str`` says why."""


def open_url(url: str, headers: Mapping[str, str], timeout_s: float) -> HTTPResponse:
    """The response to a GET by http or https, through the proxies that the environment names.

    It follows redirects to either of the two and to nothing else. Raises `OSError`, of which
    `URLError` is one, or `HTTPException`; and `Useless`, as does reading from the response, when
    the server sent less than `SLOWEST` for `timeout_s`, be it in drops that never pause so long.
    """
    opener = OpenerDirector()
    for handler in (
        ProxyHandler(),
        UnknownHandler(),
        HTTPDefaultErrorHandler(),
        HTTPRedirectHandler(),
        HTTPErrorProcessor(),
        _Http(),
        _Https(),
    ):
        opener.add_handler(handler)
    return opener.open(Request(url, headers=dict(headers)), timeout=timeout_s)


class _Paced(io.RawIOBase):
    """What arrives from a server, as long as enough of it does."""

    def __init__(self, arriving: io.RawIOBase, window_s: float):
        self.arriving, self.window_s = arriving, window_s
        self.received, self.since = 0, time.monotonic()

    def readinto(self, buffer: Any) -> int | None:
        count = self.arriving.readinto(buffer)
        self.received += count or 0
        if count and time.monotonic() - self.since >= self.window_s:
            if self.received < SLOWEST * self.window_s:
                raise Useless(f"it sends less than {SLOWEST / 1000:g} kB per second")
            self.received, self.since = 0, time.monotonic()
        return count

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self.arriving.close()
        super().close()


class _Response(HTTPResponse):
    def __init__(self, sock: socket, *arguments, **options):
        super().__init__(sock, *arguments, **options)
        window_s = sock.gettimeout()
        assert window_s is not None  # `open_url` sets one
        self.fp = io.BufferedReader(_Paced(self.fp.detach(), window_s))


class _HttpConnection(HTTPConnection):
    response_class = _Response


class _HttpsConnection(HTTPSConnection):
    response_class = _Response


class _Http(HTTPHandler):
    def http_open(self, req: Request) -> HTTPResponse:
        return self.do_open(_HttpConnection, req)


class _Https(HTTPSHandler):
    def https_open(self, req: Request) -> HTTPResponse:
        return self.do_open(_HttpsConnection, req)
