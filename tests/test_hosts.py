"""No provider is asked at an address that tells a machine's own secrets, and none in clear with a key."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintrack_tasks import hosts

METADATA = 0xA9FEA9FE  # 169.254.169.254


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.0.1",
        "2852039166",
        "0xa9fea9fe",
        "0xA9.0xFE.0xA9.0xFE",
        "0251.0376.0251.0376",
        "169.16689662",
        "169.254.43518",
        "169.254.169.254.",
        "１６９.２５４.１６９.２５４",  # noqa: RUF001  the point of it
        "[fe80::1]",
        "[fe80::1%eth0]",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "[::169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:a9fe:a9fe::]",
        "[fd00:ec2::254]",
        "[FD00:0EC2:0::254]",
        "[fd20:ce::254]",
        "100.100.100.200",
        "168.63.129.16",
        "0.0.0.0",
        "[::]",
        "metadata.google.internal",
        "METADATA.Google.Internal.",
        "metadata",
        "instance-data.ec2.internal",
    ],
)
def test_link_local_and_metadata_addresses_are_barred_in_every_spelling(host: str) -> None:
    for url in (f"https://{host}/v1", f"http://{host}", f"http://{host}:8080/latest/meta-data"):
        found = hosts.problem(url, keyed=False)
        assert found is not None
        assert "link-local or metadata" in found


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "127.1", "2130706433", "api.localhost", "127.8.8.8"]
)
def test_a_key_may_go_in_clear_to_this_machine(host: str) -> None:
    assert hosts.problem(f"http://{host}:8080/finnhub", keyed=True) is None


@pytest.mark.parametrize(
    "host",
    [
        "api.example.com",
        "10.0.0.7",
        "192.168.1.1",
        "localhost.example.com",
        "127.0.0.1.example.com",
        "[fd00::1]",
        "market",
    ],
)
def test_a_key_goes_to_another_machine_by_https_alone(host: str) -> None:
    assert hosts.problem(f"https://{host}/v1", keyed=True) is None
    assert hosts.problem(f"http://{host}/v1", keyed=False) is None
    assert hosts.problem(f"HTTP://{host}:443/v1", keyed=True) == (
        f"would send a key in clear to {host.strip('[]')}: it needs https"
    )
    # What stands before the @ is a secret too.
    found = hosts.problem(f"http://person:word@{host}/v1", keyed=False)
    assert found is not None
    assert "word" not in found


@pytest.mark.parametrize(
    "url",
    [
        "ftp://api.example.com",
        "api.example.com",
        "https://",
        "https:///v1",
        "file:///etc/passwd",
        "http://api.example.com\\@127.0.0.1/",
        "http://127.0.0.1 .example.com",
        "http://127.0.0.1\t.example.com",
        "http://[::1",
        "https://api.example.com:port",
        "",
    ],
)
def test_what_parsers_read_differently_is_no_address(url: str) -> None:
    assert hosts.problem(url, keyed=True) == "is no http(s) address"


SPELLINGS = (
    lambda n: str(ipaddress.IPv4Address(n)),
    str,
    hex,
    lambda n: ".".join(f"0{part:o}" for part in n.to_bytes(4, "big")),
    lambda n: ".".join(f"0x{part:x}" for part in n.to_bytes(4, "big")),
    lambda n: f"{n >> 24}.{n & 0xFFFFFF}",
    lambda n: f"{n >> 24}.{n >> 16 & 0xFF}.{n & 0xFFFF}",
    lambda n: f"[::ffff:{ipaddress.IPv4Address(n)}]",
    lambda n: f"[64:ff9b::{n >> 16:x}:{n & 0xFFFF:x}]",
)


@given(st.integers(0, 2**32 - 1), st.sampled_from(SPELLINGS))
def test_every_spelling_of_an_ipv4_address_is_that_address(number: int, spelling: object) -> None:
    assert hosts.address_of(spelling(number)) == ipaddress.IPv4Address(number)  # type: ignore[operator]


@given(st.integers(0xA9FE0000, 0xA9FEFFFF), st.sampled_from(SPELLINGS))
def test_no_spelling_of_a_link_local_address_passes(number: int, spelling: object) -> None:
    assert hosts.is_barred(spelling(number))  # type: ignore[operator]


@pytest.mark.parametrize("name", ["api.example.com", "1and1.example", "0x.example", "cafe", "metadata-api.example.com"])
def test_names_are_no_addresses_and_pass(name: str) -> None:
    assert hosts.address_of(name) is None
    assert hosts.problem(f"https://{name}", keyed=True) is None


@pytest.mark.parametrize("dot", ["\u3002", "\uff0e", "\uff61"])
def test_every_dot_that_separates_labels_of_a_name_is_read_as_one(dot: str) -> None:
    """UTS 46 and RFC 3490 name these three beside the full stop."""
    assert hosts.problem(f"https://{dot.join(['169', '254', '169', '254'])}/", keyed=True)
    assert hosts.is_barred(f"metadata{dot}google{dot}internal")
