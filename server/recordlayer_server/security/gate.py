"""Who calls, by whatever the server's settings let callers show: a certificate, a static token, a web token.

A token that is shown is judged, and a bad one refuses the call, whatever else was shown. Without one the certificate
counts. A server that has no way to know anybody serves everybody as `anonymous`: on loopback, or when told to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from recordlayer.errors import Unauthenticated
from recordlayer_server.security import certificates, static_tokens
from recordlayer_server.security.identity import ANONYMOUS, Identity
from recordlayer_server.security.kept_file import KeptFiles
from recordlayer_server.security.static_tokens import Tokens
from recordlayer_server.security.web_tokens import WebTokens

HEADER = "authorization"
_BEARER = "bearer "


class Gate:
    """What callers may show."""

    def __init__(
        self,
        *,
        tokens: KeptFiles[Tokens] | None = None,
        web_tokens: WebTokens | None = None,
        certificates: bool = False,
    ) -> None:
        self._tokens = tokens
        self._web_tokens = web_tokens
        self._certificates = certificates

    @property
    def closed(self) -> bool:
        """Whether callers have to show something."""
        return self._tokens is not None or self._web_tokens is not None or self._certificates

    async def identify(
        self, metadata: Sequence[tuple[str, str | bytes]], auth_context: Mapping[str, Iterable[bytes]]
    ) -> Identity:
        """Who calls.  Raises  Unauthenticated, in the same words whatever was wrong with what was shown."""
        if not self.closed:
            return ANONYMOUS
        shown = [value for name, value in metadata if name == HEADER]
        if shown:
            return await self._bearer(shown)
        found = certificates.identity_of(auth_context) if self._certificates else None
        if found is None:
            raise Unauthenticated(hint=self._hint())
        return found

    async def _bearer(self, shown: Sequence[str | bytes]) -> Identity:
        header = shown[0]
        if len(shown) == 1 and isinstance(header, str) and header[: len(_BEARER)].lower() == _BEARER:
            token = header[len(_BEARER) :].strip()
            if self._tokens is not None:
                found = static_tokens.identity_of(token, self._tokens.value)
                if found is not None:
                    return found
            if self._web_tokens is not None:
                found = await self._web_tokens.identity_of(token)
                if found is not None:
                    return found
        raise Unauthenticated(hint=self._hint())

    def _hint(self) -> str:
        ways = ["the metadata `authorization: Bearer TOKEN`"] if self._tokens or self._web_tokens else []
        ways += ["a client certificate"] if self._certificates else []
        return "show " + " or ".join(ways)
