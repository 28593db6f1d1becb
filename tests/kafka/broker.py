"""Apache Kafka itself: its jars by Maven, and one node over a folder, with the settings of docker-compose.yml."""

from __future__ import annotations

import fcntl
import hashlib
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from fintrack_tasks.embedded.ports import choose_port
from tests.conftest import missing_service

ROOT = Path(__file__).resolve().parents[2]
POM = Path(__file__).with_name("pom.xml")

_OLDEST_JAVA = 17
_MAVEN_SECONDS = 240
_START_SECONDS = 60
_STOP_SECONDS = 30
_ANSWER_SECONDS = 20
_CLUSTER = "RmluVHJhY2stVGVzdHMtMA"  # 16 bytes of our own in Kafka's writing of a UUID


def find_java() -> str:
    """The path of a java that can run Kafka; where there is none, a skip, in CI a failure."""
    program = shutil.which("java")
    if program is None:
        missing_service(f"a real Kafka needs Java {_OLDEST_JAVA} or later, and no java was found")
    told = subprocess.run([program, "-version"], check=False, capture_output=True, text=True, timeout=60)
    version = re.search(r'version "(\d+)', told.stderr)
    if version is None or int(version[1]) < _OLDEST_JAVA:
        said = next(iter(told.stderr.splitlines()), f"exit code {told.returncode}")
        missing_service(f"a real Kafka needs Java {_OLDEST_JAVA} or later; {program} says: {said}")
    return program


def find_jars(cache: Path) -> Path:
    """The folder of the broker's jars, brought by Maven once for each text of pom.xml."""
    folder = cache / hashlib.sha256(POM.read_bytes()).hexdigest()[:16]
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "jars.lock").open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)  # whoever holds it is bounded by Maven's own deadline
        if not folder.is_dir():
            half = folder.with_suffix(".half")
            shutil.rmtree(half, ignore_errors=True)
            _bring_jars(half)
            half.rename(folder)
    return folder


def _bring_jars(folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        missing_service("a real Kafka is brought by Maven, and no mvn was found")
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder}"]
    command = [maven, "--batch-mode", "--quiet", "--file", str(POM), *goal]
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=_MAVEN_SECONDS
        )
    except subprocess.TimeoutExpired:
        missing_service(f"Maven did not bring Kafka within {_MAVEN_SECONDS} s")
    if done.returncode:
        said = next((line for line in done.stdout.splitlines() if "ERROR" in line), f"exit code {done.returncode}")
        missing_service(f"Maven did not bring Kafka: {said:.300}")


def node_settings(data: Path, port: int, controller_port: int) -> dict[str, str]:
    """What docker-compose.yml tells its Kafka, with other addresses and another folder."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    told = {
        name.removeprefix("KAFKA_").lower().replace("_", "."): str(value)
        for name, value in services["kafka"]["environment"].items()
    }
    return told | {
        "listeners": f"INTERNAL://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"INTERNAL://127.0.0.1:{port}",
        "controller.quorum.voters": f"{told['node.id']}@127.0.0.1:{controller_port}",
        "log.dirs": str(data),
    }


class Broker:
    """One node that keeps its data in ``folder`` over a stop or a kill. It dies with this process, however that ends.

    :param java: the program of :func:`find_java`.
    :param jars: the folder of :func:`find_jars`.
    :param listeners: further listeners by name, each with the settings that begin with ``listener.name.NAME.``.
    :param scram: users and passwords for logins by SCRAM.
    """

    def __init__(
        self,
        folder: Path,
        java: str,
        jars: Path,
        listeners: Mapping[str, Mapping[str, str]] | None = None,
        scram: Mapping[str, str] | None = None,
    ) -> None:
        # Not among the ports that the system gives to outgoing connections: one of those could take the place of a
        # broker that is down for a moment.
        port = choose_port(random.randrange(20_000, 30_000))
        controller_port = choose_port(random.randrange(20_000, 30_000), frozenset({port}))
        self.bootstrap = f"127.0.0.1:{port}"
        self.log = folder / "kafka.log"
        self._settings = folder / "server.properties"
        settings = node_settings(folder / "data", port, controller_port)
        self.addresses = {name: self._listen(settings, name, told) for name, told in (listeners or {}).items()}
        self._scram = dict(scram or {})
        self._settings.write_text("".join(f"{name}={value}\n" for name, value in settings.items()), encoding="utf-8")
        (folder / "tmp").mkdir()
        # The level is that of log4j's own configuration, which writes to stdout.
        small = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"]
        self._java = [java, *small, "-Dlog4j2.level=WARN", f"-Djava.io.tmpdir={folder / 'tmp'}", "-cp", f"{jars}/*"]
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._format()

    @staticmethod
    def _listen(settings: dict[str, str], name: str, told: Mapping[str, str]) -> str:
        """Add a listener to the node's settings; returns its address."""
        address = f"127.0.0.1:{choose_port(random.randrange(20_000, 30_000))}"
        for key in ("listeners", "advertised.listeners"):
            settings[key] += f",{name}://{address}"
        settings["listener.security.protocol.map"] += f",{name}:{told['security.protocol']}"
        prefix = f"listener.name.{name.lower()}."
        settings.update({prefix + key: value for key, value in told.items() if key != "security.protocol"})
        return address

    def _format(self) -> None:
        command = ["kafka.tools.StorageTool", "format", "--cluster-id", _CLUSTER, "--config", str(self._settings)]
        for user, password in self._scram.items():
            command += ["--add-scram", f"SCRAM-SHA-512=[name={user},password={password}]"]
        done = subprocess.run([*self._java, *command], check=False, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it over its data and wait until it answers."""
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [*self._java, "kafka.Kafka", str(self._settings)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for pytest, which stops it in order
            )
        # This end of the pipe closes with this process, even when that is killed.
        guard = ["sh", "-c", f"read -r _; kill -KILL {self._process.pid}"]
        self._guard = subprocess.Popen(guard, stdin=subprocess.PIPE, start_new_session=True)
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0, "error_cb": lambda _: None})
        deadline = time.monotonic() + _START_SECONDS
        while self.running and time.monotonic() < deadline:
            try:
                if admin.list_topics(timeout=1).brokers:
                    return
            except KafkaException:
                continue  # each of them took its time-out, or the client's pause between two connections
        state = f"did not answer within {_START_SECONDS} s" if self.running else "ended"
        self.kill()
        pytest.fail(f"Kafka {state}; the end of its log:\n{self.tail()}")

    def await_topic(self, topic: str) -> set[int]:
        """The partitions of a topic, once each of them can be asked: that is a moment after Kafka says it is made."""
        asking = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "await", "log_level": 0})
        deadline = time.monotonic() + _ANSWER_SECONDS
        try:
            while True:
                partitions = set(asking.list_topics(topic, timeout=_ANSWER_SECONDS).topics[topic].partitions)
                try:
                    for number in partitions:
                        asking.get_watermark_offsets(TopicPartition(topic, number), timeout=_ANSWER_SECONDS)
                except KafkaException:
                    assert time.monotonic() < deadline, f"{topic} cannot be asked"
                else:
                    if partitions or time.monotonic() > deadline:
                        return partitions
                time.sleep(0.05)
        finally:
            asking.close()

    def stop(self) -> None:
        """End it in order; it is killed when it takes too long."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(_STOP_SECONDS)
        if self._guard is not None:
            self._guard.kill()  # before its pipe closes: the id may belong to another process by now
            self._guard.communicate(timeout=_STOP_SECONDS)
        self._process = self._guard = None

    def tail(self) -> str:
        """The last lines of its log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-60:])
