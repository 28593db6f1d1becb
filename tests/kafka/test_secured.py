"""A real Kafka that demands TLS and a login: reached by settings alone, and by nobody without them."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator

import pytest

from fintrack_tasks.connections import Connections
from fintrack_tasks.errors import OutageError
from fintrack_tasks.observability import HealthChecker
from fintrack_tasks.publish.kafka import Cluster, count_messages, ensure_topics, read_all
from fintrack_tasks.settings import Settings
from tests.conftest import SHARED_HOME
from tests.kafka.broker import Broker, find_jars, find_java
from tests.publish.test_kafka import event
from tests.tls import Authority

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(400)]

WORD = secrets.token_hex(12)
_PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule required"
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"


@pytest.fixture(scope="module")
def secured(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A node with a listener for logins over TLS, and one that demands a certificate of the client."""
    folder = tmp_path_factory.mktemp("secured")
    keystore = folder / "server.pem"
    keystore.write_bytes(authority.server_key.read_bytes() + authority.server_cert.read_bytes())
    tls = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(keystore),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.ca),
    }
    login = {
        "security.protocol": "SASL_SSL",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512,PLAIN",
        "scram-sha-512.sasl.jaas.config": _SCRAM,
        "plain.sasl.jaas.config": f'{_PLAIN} user_fintrack="{WORD}";',
    }
    listeners = {
        "LOGIN": {**tls, **login},
        "MUTUAL": {**tls, "security.protocol": "SSL", "ssl.client.auth": "required"},
    }
    node = Broker(folder, find_java(), find_jars(SHARED_HOME / "kafka"), listeners, scram={"fintrack": WORD})
    try:
        node.start()
        yield node
    finally:
        node.stop()
        shutil.rmtree(folder, ignore_errors=True)


def variables(secured: Broker, authority: Authority, way: str) -> dict[str, str]:
    """The settings of each documented way."""
    if way == "MUTUAL":
        return {
            "KAFKA_BOOTSTRAP_SERVERS": secured.addresses["MUTUAL"],
            "KAFKA_SECURITY_PROTOCOL": "SSL",
            "KAFKA_CA_FILE": str(authority.ca),
            "KAFKA_CERT_FILE": str(authority.client_cert),
            "KAFKA_KEY_FILE": str(authority.client_key),
        }
    return {
        "KAFKA_BOOTSTRAP_SERVERS": secured.addresses["LOGIN"],
        "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_SASL_MECHANISM": way,
        "KAFKA_SASL_USERNAME": "fintrack",
        "KAFKA_SASL_PASSWORD": WORD,
        "KAFKA_CA_FILE": str(authority.ca),
    }


@pytest.mark.parametrize("way", ["SCRAM-SHA-512", "PLAIN", "MUTUAL"])
def test_events_go_out_and_are_read_over_a_kafka_that_demands_tls_and_a_login(
    secured: Broker, authority: Authority, way: str
) -> None:
    settings = Settings.from_mapping(variables(secured, authority, way))
    cluster, topic = Cluster.of(settings), f"secured-{secrets.token_hex(4)}"
    ensure_topics(cluster, [topic])
    connections = Connections(settings)
    events = [event(topic, "AAPL", number) for number in range(20)]
    assert connections.producer.publish(events) == {each.id for each in events}
    connections.close()
    assert count_messages(cluster, topic) == 20
    assert [told["number"] for told in read_all(cluster, topic)] == list(range(20))
    checks = HealthChecker(settings=settings).check_system_health().checks
    assert checks["kafka"]["healthy"], checks["kafka"]


@pytest.mark.parametrize(
    ("way", "wrong"),
    [
        ("SCRAM-SHA-512", {"KAFKA_SASL_PASSWORD": "another-word"}),
        ("PLAIN", {"KAFKA_SASL_PASSWORD": "another-word"}),
        ("PLAIN", {"KAFKA_SECURITY_PROTOCOL": "PLAINTEXT"}),
        ("MUTUAL", {"KAFKA_CERT_FILE": "", "KAFKA_KEY_FILE": ""}),
    ],
)
def test_nobody_is_let_in_without_the_right_login_and_no_error_shows_it(
    secured: Broker, authority: Authority, way: str, wrong: dict[str, str]
) -> None:
    settings = Settings.from_mapping({**variables(secured, authority, way), **wrong})
    with pytest.raises(OutageError) as caught:
        ensure_topics(Cluster.of(settings), ["market-data"], timeout=4)
    assert WORD not in str(caught.value)
    assert "another-word" not in str(caught.value)
    assert WORD not in repr(Cluster.of(settings))


def test_a_broker_for_which_the_wrong_authority_vouches_gets_no_password(
    secured: Broker, authority: Authority, another_authority: Authority
) -> None:
    settings = Settings.from_mapping(
        {**variables(secured, authority, "PLAIN"), "KAFKA_CA_FILE": str(another_authority.ca)}
    )
    with pytest.raises(OutageError):
        ensure_topics(Cluster.of(settings), ["market-data"], timeout=4)
