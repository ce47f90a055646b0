"""Where webhooks may go, judged by the addresses that names resolve to (issue 7)."""

from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.outgoing.destinations import (
    DestinationRefused,
    Destinations,
    FakeResolver,
    NameNotResolved,
    normalised,
    system_resolver,
)

NAME = "hooks.example.com"


def destinations(*addresses: str, networks: tuple[str, ...] = (), **answers: Any) -> Destinations:
    """Rules under which NAME is allowed and resolves to these addresses."""
    table = {NAME: [list(addresses)], **answers}
    named = tuple(ip_network(network) for network in networks)
    return Destinations((NAME, "*.example.net"), named, FakeResolver(table))


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "127.0.0.1",
        "127.9.9.9",
        "0.0.0.0",  # noqa: S104 - nothing binds to it
        "169.254.169.254",
        "100.64.0.1",
        "100.127.255.254",
        "192.0.0.8",
        "192.0.0.170",
        "192.88.99.1",
        "3fff::1",
        "192.0.2.1",
        "198.18.0.1",
        "203.0.113.5",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%lo",
        "fec0::1",
        "fc00::1",
        "fd12:3456::1",
        "ff02::1",
        "2001:db8::1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2001:0:7f00:1::",
        "4000::1",
    ],
)
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    """Private, loopback, link-local, shared, multicast, reserved, and what wraps them."""
    rules = destinations(address)
    with pytest.raises(DestinationRefused, match="not public"):
        rules.addresses(rules.target(f"https://{NAME}/"))


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.215.14", "2606:4700::1111", "::ffff:1.1.1.1", "9.9.9.9"]
)
def test_public_addresses_are_taken(address: str) -> None:
    rules = destinations(address)
    [found] = rules.addresses(rules.target(f"https://{NAME}/"))
    assert found == (ip_address(address.removeprefix("::ffff:")))


def test_a_name_that_also_points_inside_is_refused() -> None:
    rules = destinations("1.1.1.1", "10.0.0.1")
    with pytest.raises(DestinationRefused):
        rules.addresses(rules.target(f"https://{NAME}/"))


def test_a_named_network_is_an_exception_and_may_be_plain_http() -> None:
    rules = destinations("10.1.2.3", networks=("10.1.0.0/16",))
    for scheme in ("http", "https"):
        assert rules.addresses(rules.target(f"{scheme}://{NAME}/"))
    mapped = destinations("::ffff:10.1.2.3", networks=("10.1.0.0/16",))
    assert mapped.addresses(mapped.target(f"http://{NAME}/"))
    other = destinations("10.2.2.3", networks=("10.1.0.0/16",))
    with pytest.raises(DestinationRefused):
        other.addresses(other.target(f"https://{NAME}/"))


def test_plain_http_is_refused_on_the_public_internet() -> None:
    rules = destinations("1.1.1.1")
    with pytest.raises(DestinationRefused, match="https"):
        rules.addresses(rules.target(f"http://{NAME}/"))


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/",
        "https://hooks.example.com.evil.example/",
        "https://xhooks.example.com/",
        "https://example.net/",
        "https://evilexample.net/",
        "https://evil.example/hooks.example.com",
        "https://evil.example\\@hooks.example.com/",
        "https://evil.example#@hooks.example.com/",
        "https://user:pass@hooks.example.com/",
        "https://hooks.example.com@evil.example/",
        "https://hooks.example.com/#part",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://[::1]/",
        "ftp://hooks.example.com/",
        "file:///etc/passwd",
        "gopher://hooks.example.com/",
        "hooks.example.com",
        "",
        "https://",
        "https://hooks.example.com/" + "x" * 500,
    ],
)
def test_other_hosts_and_odd_urls_are_refused(url: str) -> None:
    """Only hosts on the list, however the URL is dressed up."""
    with pytest.raises(DestinationRefused):
        destinations("1.1.1.1").target(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://HOOKS.example.com",
        "https://hooks.example.com./a",
        "https://a.example.net/",
        "https://a.b.example.net:8443/x?y=1",
    ],
)
def test_hosts_on_the_list_are_taken(url: str) -> None:
    target = destinations("1.1.1.1").target(url)
    assert target.host.endswith(("example.com", "example.net"))
    assert target.host == target.host.lower()


def test_a_target_keeps_port_and_query() -> None:
    target = destinations("1.1.1.1").target(f"https://{NAME}:8443/x?y=1&z=%20")
    assert (target.tls, target.host, target.port, target.path) == (
        True,
        NAME,
        8443,
        "/x?y=1&z=%20",
    )


@given(st.text(max_size=60))
def test_whatever_the_text_only_hosts_on_the_list_get_through(text: str) -> None:
    rules = Destinations((NAME,), ())
    for url in (text, f"https://{text}", f"https://{NAME}{text}", f"https://{text}@{NAME}"):
        try:
            assert rules.target(url).host == NAME
        except DestinationRefused:
            continue


def test_unknown_names_say_so() -> None:
    rules = destinations("1.1.1.1")
    with pytest.raises(NameNotResolved, match=r"x\.example\.net"):
        rules.addresses(rules.target("https://x.example.net/"))


def test_without_hosts_nothing_is_allowed() -> None:
    """The default of the setting: no receiver that the operators did not name."""
    with pytest.raises(DestinationRefused, match="HANDOVER_WEBHOOK_HOSTS_ALLOWED"):
        Destinations((), ()).target("https://hooks.example.com/")


def test_the_system_resolver_tells_addresses() -> None:
    assert ip_address("127.0.0.1") in system_resolver("127.0.0.1")
    assert ip_address("127.0.0.1") in system_resolver("::ffff:127.0.0.1")
    with pytest.raises(NameNotResolved):
        system_resolver("a..b")


def test_urls_are_kept_as_browsers_read_them() -> None:
    assert normalised("HTTPS://Hooks.Example.COM") == "https://hooks.example.com/"
