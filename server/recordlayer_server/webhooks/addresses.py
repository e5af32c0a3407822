"""Where a webhook may lead: https, and to hosts on the public internet unless the settings allow others.

Callers choose the address and the server connects to it from inside, so it must not reach what only the inside does.
A name says nothing about that: what it is resolved to is judged, all of it, and the connection goes to just that.
"""

from __future__ import annotations

import ipaddress
import re
import urllib.parse
from dataclasses import dataclass

LONGEST = 2_048
_AUTHORITY = re.compile(
    r"(\[[0-9a-f:.]+\]|[a-z0-9]([a-z0-9._-]{0,251}[a-z0-9])?\.?)(:[0-9]{1,5})?", re.ASCII | re.IGNORECASE
)
_PRINTABLE = re.compile(r"[!-~]+", re.ASCII)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_NAT64_LOCAL = ipaddress.ip_network("64:ff9b:1::/48")

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class HookAddress:
    """The parts of an address: `target` is what stands in the request's first line."""

    host: str
    port: int
    target: str

    @property
    def name(self) -> str:
        """What the header Host has to say."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 443 else f"{host}:{self.port}"

    @property
    def literal(self) -> Ip | None:
        """The IP address, where it is written as one."""
        try:
            return ipaddress.ip_address(self.host)
        except ValueError:
            return None


def parse(text: str) -> HookAddress:
    """Raises  ValueError with words for who gave it."""
    if len(text) > LONGEST or not _PRINTABLE.fullmatch(text):
        raise ValueError(
            f"at most {LONGEST} visible ASCII characters; write other hosts as xn--..., other paths as %.."
        )
    parts = urllib.parse.urlsplit(text)
    if parts.scheme != "https":
        raise ValueError("an https address is wanted")
    if "@" in parts.netloc or "#" in text:
        raise ValueError("without user, password and fragment")
    host, port = parts.hostname or "", parts.port  # a port that is none is a ValueError too
    if port == 0 or not _AUTHORITY.fullmatch(parts.netloc):
        raise ValueError("a host is wanted, as in https://hooks.example.com/path")
    found = HookAddress(host, port or 443, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
    if found.literal is None and (":" in host or not any(one.isalpha() for one in host.rstrip(".").split(".")[-1])):
        raise ValueError(
            "an IP address is written as 203.0.113.7 or [2001:db8::7]"
        )  # 127.1 and 0x7f.1 are others' ways
    return found


def is_public(ip: Ip) -> bool:
    """Whether an address is one of the public internet, whatever other address it stands for."""
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.scope_id is not None:
            return False
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo is not None else None)
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(inner)
        if ip.is_site_local or ip in _NAT64_LOCAL:
            return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified or ip.is_private)
