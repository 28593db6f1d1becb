"""A child that ended while the broker was away does not end its worker."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
from celery.concurrency.asynpool import AsynPool
from kombu.asynchronous import Hub

from fintrack_tasks.tasks import prefork_pool


@pytest.fixture(autouse=True)
def _celerys_own_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AsynPool, "_track_child_process", AsynPool._track_child_process)


def test_a_child_that_has_ended_is_passed_over_and_a_living_one_is_watched() -> None:
    read, write = os.pipe()
    hub = Hub()
    pool = SimpleNamespace(_event_process_exit=lambda *_: None)
    ended, living = SimpleNamespace(_sentinel_poll=None), SimpleNamespace(_sentinel_poll=read)
    with pytest.raises(ValueError, match="file descriptor is None"):
        AsynPool._track_child_process(pool, ended, hub)
    for _ in range(2):  # as when two workers of one process begin
        prefork_pool.use()
    for child in (ended, living):
        AsynPool._track_child_process(pool, child, hub)
    assert set(hub.readers) == {read}
    hub.close()
    os.close(write)
