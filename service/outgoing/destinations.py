"""Where webhooks may go: named hosts only, and no address inside a network that is not named.

A receiver's address is given by a person, and the service that sends to it stands inside: without
these checks it could be made to talk to what only insiders reach (OWASP, "Server-Side Request
Forgery"). What a name resolves to is checked at each connection, and `connecting` connects to the
very address that was checked, so that a name that changes in between gains nothing.
"""

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)
from typing import Protocol
from urllib.parse import urlsplit

from pydantic import AnyHttpUrl, TypeAdapter, ValidationError

from service.settings import Settings

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_URL = 500
"""Longest address of a receiver, in characters."""

_GLOBAL_UNICAST = IPv6Network("2000::/3")
_SPECIAL: tuple[Network, ...] = (
    IPv4Network("192.0.0.0/24"),  # protocol assignments (RFC 6890)
    IPv4Network("192.88.99.0/24"),  # 6to4 relays (RFC 7526)
    IPv6Network("3fff::/20"),  # documentation (RFC 9637)
)
"""Not for hosts either, though some versions of Python call them global."""
_URL = TypeAdapter(AnyHttpUrl)


class DestinationRefused(Exception):
    """Nothing may be sent there; the message says why, in words for the administrator."""


class NameNotResolved(Exception):
    """The name of the receiver is not known at the moment."""


class Resolver(Protocol):
    """Turns a host's name into addresses."""

    def __call__(self, host: str) -> Sequence[Address]:
        """Return every address of the host, best first; raises `NameNotResolved`."""


def system_resolver(host: str) -> Sequence[Address]:
    """Ask the system's resolver."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NameNotResolved(f"{host} does not resolve") from error
    return [_plain(ip_address(str(entry[4][0]))) for entry in found]


@dataclass
class FakeResolver:
    """Answers from a table, one answer after another, the last one for ever.

    Stands in for a DNS server, which tests have none of.
    """

    answers: Mapping[str, Sequence[Sequence[str]]]
    asked: list[str] = field(default_factory=list)

    def __call__(self, host: str) -> Sequence[Address]:
        """Return the next answer for the host; raises `NameNotResolved` for one not in the
        table.
        """
        if host not in self.answers:
            raise NameNotResolved(f"{host} does not resolve")
        number = self.asked.count(host)
        self.asked.append(host)
        answers = self.answers[host]
        return [_plain(ip_address(text)) for text in answers[min(number, len(answers) - 1)]]


@dataclass(frozen=True)
class Target:
    """An acceptable URL, taken apart once: what is checked is what is connected to."""

    tls: bool
    host: str
    port: int
    path: str


@dataclass(frozen=True)
class Destinations:
    """The rule: which hosts, and which networks besides the public Internet."""

    hosts: tuple[str, ...]
    networks: tuple[Network, ...]
    resolve: Resolver = system_resolver

    @classmethod
    def of(cls, settings: Settings) -> "Destinations":
        """Return the rule that the settings make."""
        return cls(settings.webhook_hosts_allowed, settings.webhook_networks_allowed)

    def target(self, url: str) -> Target:
        """Take a URL apart; raises `DestinationRefused` for a host that is not allowed."""
        parts = urlsplit(normalised(url))
        host = (parts.hostname or "").rstrip(".")
        if not any(_covers(pattern, host) for pattern in self.hosts):
            raise DestinationRefused(f"the host {host} is not among HANDOVER_WEBHOOK_HOSTS_ALLOWED")
        tls = parts.scheme == "https"
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return Target(tls, host, parts.port or (443 if tls else 80), path)

    def addresses(self, target: Target) -> Sequence[Address]:
        """Resolve the target's name and return its addresses, every one of them acceptable.

        Raises `NameNotResolved`, and `DestinationRefused` when a single address is not: a name
        that also points inside is not to be trusted. Plain HTTP goes to named networks only.
        """
        found = self.resolve(target.host)
        for address in found:
            named = any(address in network for network in self.networks)
            if not named and not _public(address):
                raise DestinationRefused(
                    f"{target.host} is at {address}, which is not public and not within "
                    "HANDOVER_WEBHOOK_NETWORKS_ALLOWED"
                )
            if not named and not target.tls:
                raise DestinationRefused("only https is allowed outside named networks")
        if not found:
            raise NameNotResolved(f"{target.host} has no address")
        return found


def normalised(url: str) -> str:
    """Return the URL as browsers read it: host in lower case ASCII, numbers as dotted addresses.

    Raises `DestinationRefused` for what is no plain http(s) address.
    """
    try:
        parsed = _URL.validate_python(url)
    except ValidationError:
        raise DestinationRefused("is not an http or https address") from None
    if parsed.username is not None or parsed.password is not None:
        raise DestinationRefused("must not hold a user name or password: it would be in logs")
    if parsed.fragment is not None:
        raise DestinationRefused("must not hold a fragment (#…)")
    text = str(parsed)
    if len(text) > MAX_URL:
        raise DestinationRefused(f"is longer than {MAX_URL} characters")
    return text


def _covers(pattern: str, host: str) -> bool:
    if pattern.startswith("*."):
        return host.endswith(pattern[1:]) and host != pattern[1:]
    return host == pattern


def _plain(address: Address) -> Address:
    """Return the IPv4 address within one that IPv6 only wraps (RFC 4291, 2.5.5.2)."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _public(address: Address) -> bool:
    """Tell whether the address is one of the public Internet, for one host.

    Out: private, loopback, link-local (cloud metadata among them), shared (RFC 6598), multicast,
    reserved and documentation ranges; of IPv6 all but global unicast, and 6to4 and Teredo too,
    because they wrap an IPv4 address.
    """
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if any(address in network for network in _SPECIAL):
        return False
    if isinstance(address, IPv4Address):
        return True
    wraps = address.sixtofour or address.teredo
    return address in _GLOBAL_UNICAST and not wraps
