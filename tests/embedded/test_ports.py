"""Ports are free when they are given out."""

from __future__ import annotations

import socket

from fintrack_tasks.embedded.ports import choose_port, is_free


def test_a_port_that_somebody_listens_on_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not is_free(port)
        assert choose_port(port) != port
    assert is_free(port)
    assert choose_port(port) == port


def test_a_port_that_is_promised_to_another_is_not_given_out() -> None:
    port = choose_port(None)
    assert choose_port(port, frozenset({port})) != port


def test_a_connection_in_time_wait_does_not_occupy_the_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = server.accept()
        accepted.close()  # the server's side closes first, and so keeps the port in TIME_WAIT
        client.close()
    assert choose_port(port) == port
