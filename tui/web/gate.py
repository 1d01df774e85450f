"""Who may come in, and what the browser may do with what it gets: no request passes without these.

The host is checked against DNS rebinding and the origin against other pages in the same browser. The token is handed
in once, in the URL, and then kept in a cookie; the cookie's path is random, since a browser sends the cookies of
127.0.0.1 to every port of it, whoever listens there.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping

from aiohttp import web

_COOKIE = "clawtui"
_WAY_OUT = "Open the URL that clawtui printed in its terminal."

_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_CONTENT_POLICY = (
    "default-src 'none'",
    "script-src 'self'",
    # The terminal writes style elements of its own; nothing a stranger wrote becomes HTML here.
    "style-src 'self' 'unsafe-inline'",
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
)


class Gate:
    """The door of a server on loopback ``port``: one token, as long as the server runs."""

    def __init__(self, port: int) -> None:
        self._token = secrets.token_urlsafe(32)
        self._port = port
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}
        if port == 80:  # browsers leave it out
            self._hosts |= {"127.0.0.1", "localhost"}
        self.place = f"/{secrets.token_urlsafe(12)}/"  # below which everything is, and the cookie goes

    @property
    def url(self) -> str:
        """What opens the door. Whoever has it can do what the person at the terminal can: print it, log it never."""
        return f"http://127.0.0.1:{self._port}/?token={self._token}"

    @property
    def headers(self) -> Mapping[str, str]:
        """What every answer carries."""
        connect = " ".join(["'self'", *(f"ws://{host}" for host in sorted(self._hosts))])
        return {**_HEADERS, "Content-Security-Policy": "; ".join((*_CONTENT_POLICY, f"connect-src {connect}"))}

    def let_in(self, response: web.Response) -> None:
        """Give a browser that showed the token the cookie that stands for it."""
        response.set_cookie(_COOKIE, self._token, path=self.place, httponly=True, samesite="Strict")

    def objection_to_host(self, host: str) -> str:
        """Why a request to ``host`` is refused, as a sentence; "" if it is not."""
        return "" if host in self._hosts else f"clawtui does not answer under this name. {_WAY_OUT}"

    def objection_to_origin(self, origin: str | None, host: str) -> str:
        """Why a page of ``origin`` may not connect to ``host``, as a sentence; "" if it may."""
        return "" if origin == f"http://{host}" else f"Only clawtui's own page may connect. {_WAY_OUT}"

    def objection_to_token(self, token: str | None) -> str:
        """Why ``token`` does not open the door, as a sentence; "" if it does."""
        known = hmac.compare_digest((token or "").encode("utf-8", "replace"), self._token.encode())
        return "" if known else f"The token is missing or not this clawtui's. {_WAY_OUT}"

    def objection_to_cookie(self, cookies: Mapping[str, str]) -> str:
        """The same for the token in a browser's cookies."""
        return self.objection_to_token(cookies.get(_COOKIE))
