"""The outermost layer: who may speak to this server, how much, and what a page may load (plain ASGI)."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import AppError, BadInput, Forbidden, TooLarge
from app.web import problems

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "trusted-types forward-pass",
        "require-trusted-types-for 'script'",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=()",
}
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Guard:
    """Checks the host (against DNS rebinding), the site that sent a change, and the body's size."""

    def __init__(self, app: ASGIApp, allowed_hosts: Sequence[str], body_limit_bytes: int) -> None:
        self.app = app
        self.allowed_hosts = frozenset(host.lower() for host in allowed_hosts)
        self.body_limit_bytes = body_limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            self.check(scope["method"], headers)
            if "transfer-encoding" in headers:
                receive = await _measured(receive, self.body_limit_bytes)
        except AppError as error:
            await problems.respond(scope, error)(scope, receive, _with_headers(send))
            return
        await self.app(scope, receive, _with_headers(send))

    def check(self, method: str, headers: Headers) -> None:
        """Raises BadInput, Forbidden or TooLarge."""
        host = headers.get("host", "").lower()
        if host_name(host) not in self.allowed_hosts:
            raise BadInput(
                f"This server does not answer to “{host[:100]}”. Open http://127.0.0.1, or add the name to "
                "FORWARD_PASS_ALLOWED_HOSTS."
            )
        if method not in SAFE_METHODS and is_cross_site(headers, host):
            raise Forbidden("This change was sent from another site. Open the page here and try again.")
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self.body_limit_bytes:
            raise TooLarge(f"The body may have {self.body_limit_bytes:,} bytes. Send less at once.")


def host_name(host: str) -> str:
    """The name without the port; IPv6 keeps its brackets."""
    return host.rpartition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]


def is_cross_site(headers: Headers, host: str) -> bool:
    """By Sec-Fetch-Site, then Origin against Host; a request with neither is no browser's and passes."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc.lower() != host


async def _measured(receive: Receive, limit: int) -> Receive:
    """Reads a body that does not say its length, up to the limit, and hands it on as one message."""
    body = b""
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return _once(message, receive)
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > limit:
            raise TooLarge(f"The body may have {limit:,} bytes. Send less at once.")
    return _once({"type": "http.request", "body": body, "more_body": False}, receive)


def _once(first: Message, receive: Receive) -> Receive:
    waiting = [first]

    async def receiving() -> Message:
        return waiting.pop() if waiting else await receive()

    return receiving


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending
