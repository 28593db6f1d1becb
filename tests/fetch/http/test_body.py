"""Bodies are unpacked as they were packed, or refused within bounds."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fintrack_tasks.errors import MalformedError, TransientError
from fintrack_tasks.fetch.http.body import unpacked
from fintrack_tasks.fetch.providers import provider

FACTS = replace(provider("coinbase").facts, name="venue")
TEXT = b'{"price":"1.10"}' * 9_999


def bare(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


PACKED = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress, "Deflate": bare}


def cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def whole(pieces: Iterable[bytes], coding: str) -> bytes:
    return b"".join(unpacked(FACTS, pieces, coding))


@pytest.mark.parametrize("coding", PACKED)
@given(data=st.binary(max_size=3_000), times=st.sampled_from([1, 200]), size=st.sampled_from([1, 2, 3, 100, 65_536]))
def test_what_was_packed_comes_back_however_it_was_cut(coding: str, data: bytes, times: int, size: int) -> None:
    data *= times
    assert whole(cut(PACKED[coding](data), size), coding) == data


@pytest.mark.parametrize("size", [1, 2, 7, 65_536])
def test_several_gzip_members_are_one_body(size: int) -> None:
    members = gzip.compress(b"[1,") + gzip.compress(b"") + gzip.compress(b"2]")
    assert whole(cut(members, size), "gzip") == b"[1,2]"


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("size", [1, 65_536])
def test_padding_behind_the_end_is_no_part_of_it(coding: str, size: int) -> None:
    assert whole(cut(PACKED[coding](TEXT) + bytes(9), size), coding) == TEXT


@pytest.mark.parametrize("coding", ["", "identity", "Identity, identity", " "])
def test_a_body_without_coding_is_as_it_was_sent(coding: str) -> None:
    assert whole([b"a", b"b"], coding) == b"ab"


@pytest.mark.parametrize("coding", PACKED)
def test_an_empty_body_is_empty_whatever_its_coding(coding: str) -> None:
    assert whole([], coding) == b""


@pytest.mark.parametrize("coding", PACKED)
def test_a_packed_body_that_ends_in_its_middle_is_cut_off(coding: str) -> None:
    packed = PACKED[coding](TEXT)
    for length in (1, 2, 11, len(packed) // 2, len(packed) - 1):
        with pytest.raises(TransientError, match="cut off"):
            whole([packed[:length]], coding)


@pytest.mark.parametrize(
    "coding", ["gzip, gzip", "gzip,gzip,gzip", "deflate, gzip", "br", "zstd", "compress", "nonsense"]
)
def test_a_coding_that_was_not_asked_for_is_refused_unread(coding: str) -> None:
    def unread() -> Iterator[bytes]:
        pytest.fail("it was read")
        yield b""

    with pytest.raises(MalformedError, match="nobody asked for"):
        whole(unread(), coding)


def test_a_broken_stream_is_zlibs_error() -> None:
    packed = bytearray(gzip.compress(TEXT))
    packed[-5] ^= 1  # in the checksum
    with pytest.raises(zlib.error):
        whole([bytes(packed)], "gzip")


def test_no_piece_is_large() -> None:
    assert max(map(len, unpacked(FACTS, [gzip.compress(bytes(1 << 24))], "gzip"))) <= 65_536
