"""What Redis will not do for now is told from what is wrong."""

from __future__ import annotations

import kombu.exceptions
import pytest
import redis
import redis.exceptions

from fintrack_tasks.refusals import remedy_of


@pytest.mark.integration
def test_a_full_server_refuses_writes_and_says_what_helps(small_redis: redis.Redis) -> None:
    small_redis.config_set("maxmemory", 1)
    for write in (
        lambda: small_redis.set("a", 1),
        lambda: small_redis.pipeline().set("a", 1).execute(),
        lambda: small_redis.eval("return redis.call('set', 'a', 1)", 0),
    ):
        with pytest.raises(redis.exceptions.ResponseError) as refused:
            write()
        assert "maxmemory" in str(remedy_of(refused.value))


@pytest.mark.integration
def test_a_replica_refuses_writes_and_says_what_helps(small_redis: redis.Redis) -> None:
    small_redis.replicaof("127.0.0.1", "1")
    with pytest.raises(redis.exceptions.ResponseError) as refused:
        small_redis.set("a", 1)
    assert "primary" in str(remedy_of(refused.value))


@pytest.mark.parametrize(
    "text",
    [
        "MISCONF Errors writing to the AOF file: No space left on device",
        "Command # 1 (ZADD k 1 a) of pipeline caused error: MISCONF Errors writing to the AOF file",
    ],
)
def test_a_full_disk_is_told_by_name_also_where_another_library_passes_it_on(text: str) -> None:
    refused = redis.exceptions.ResponseError(text)
    passed_on = kombu.exceptions.OperationalError(text)
    passed_on.__cause__ = refused
    assert "its disk" in str(remedy_of(refused))
    assert "its disk" in str(remedy_of(passed_on))


@pytest.mark.parametrize(
    "error",
    [
        redis.exceptions.ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value"),
        redis.exceptions.ConnectionError("refused"),
        ValueError("OOM"),
    ],
)
def test_anything_else_is_no_refusal(error: Exception) -> None:
    assert remedy_of(error) is None
