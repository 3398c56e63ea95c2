"""Refuse, on a service for one computer, requests from pages of other origins and for names of other hosts.

A page on the internet can make a browser call ``http://127.0.0.1:8000``, and the owner of a name on the internet can
make the name point there (DNS rebinding). The request of the browser then has a foreign host name, or names a foreign
page as its origin. An address in numbers always points to the same computer, so it is always allowed.
"""

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from anemone_lib.service.problems import Problem


class CallerGuard:
    """Middleware that refuses foreign names (421) and foreign origins (403).

    Parameters
    ----------
    app : ASGIApp
    hosts : tuple of str
        Names by which the service may be called, besides ``localhost`` and addresses in numbers; ``*`` allows all.
    origins : tuple of str
        Origins whose pages may call, besides the service's own page; ``*`` allows all.
    """

    def __init__(self, app: ASGIApp, *, hosts: tuple[str, ...] = (), origins: tuple[str, ...] = ()) -> None:
        self._app = app
        self._hosts, self._origins = {host.lower() for host in hosts}, set(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            self._check(headers.getlist("host"), headers.getlist("origin"), scope["scheme"])
        await self._app(scope, receive, send)

    def _check(self, hosts: list[str], origins: list[str], scheme: str) -> None:
        host = hosts[0] if len(hosts) == 1 else ""
        if not self._is_ours(host):
            raise Problem(
                421,
                "foreign_host",
                f"this service is not {host[:80]!r}; call it by its address or localhost, or name this host in "
                "ANEMONE_ALLOWED_HOSTS",
            )
        own = f"{scheme}://{host}".lower()
        for origin in origins:
            if origin.lower() != own and not self._origins & {origin, "*"}:
                raise Problem(
                    403,
                    "foreign_origin",
                    f"pages of {origin[:80]!r} may not call this service; name the origin in CORS_ALLOWED_ORIGINS",
                )

    def _is_ours(self, host: str) -> bool:
        if "*" in self._hosts:
            return True
        try:
            parts = urlsplit(f"//{host}")
            name = (parts.hostname or "").rstrip(".")
            _ = parts.port  # raises an error if it is not a number
        except ValueError:
            return False
        if parts.path or parts.query or parts.fragment or "@" in host:
            return False
        if name == "localhost" or name.endswith(".localhost") or name in self._hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True
