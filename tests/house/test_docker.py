"""The container files: what linters of Dockerfiles ask for, and that the files agree with each other and the code."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from recordlayer_server.loading import load
from recordlayer_server.settings import PREFIX
from tests.house.tree import ROOT, read, tracked

DOCKERFILES = tuple(name for name in tracked() if name.startswith("docker/") and name.endswith("Dockerfile"))
COMPOSE = tuple(name for name in tracked() if name.startswith("docker/") and name.endswith(".yaml"))


def instructions(name: str) -> list[tuple[str, str]]:
    """Instruction and arguments, with continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", read(name), flags=re.MULTILINE).replace("\\\n", " ")
    found = []
    for line in filter(None, (line.strip() for line in text.splitlines())):
        word, _, rest = line.partition(" ")
        found.append((word, re.sub(r"\s+", " ", rest.strip())))
    return found


def compose(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(read(name))
    return content


def server() -> dict[str, Any]:
    service: dict[str, Any] = compose("docker/compose.yaml")["services"]["server"]
    return service


def test_there_is_something_to_judge() -> None:
    assert {"docker/Dockerfile", "docker/test.Dockerfile"} <= set(DOCKERFILES)
    assert {"docker/compose.yaml", "docker/compose.test.yaml"} <= set(COMPOSE)


@pytest.mark.parametrize("name", DOCKERFILES)
def test_every_image_comes_from_a_version(name: str) -> None:
    stages = set()
    for word, rest in instructions(name):
        if word == "FROM":
            image, _, stage = rest.partition(" AS ")
            assert image in stages or re.search(r":.*(\d|\$\{\w+_VERSION\})", image), image
            stages.add(stage)


@pytest.mark.parametrize("name", DOCKERFILES)
def test_versions_that_images_take_have_defaults_and_a_line_that_explains_them(name: str) -> None:
    arguments = dict(rest.split("=") for word, rest in instructions(name) if word == "ARG")
    used = set(re.findall(r"\$\{(\w+)\}", " ".join(rest for word, rest in instructions(name) if word == "FROM")))
    assert used <= arguments.keys()
    assert all(re.fullmatch(r"[\d.]+", arguments[version]) for version in used)
    if name == "docker/Dockerfile":
        assert [version for version in used if not re.search(rf"^# {version} ", read(name), flags=re.MULTILINE)] == []


@pytest.mark.parametrize("name", DOCKERFILES)
def test_instructions_are_the_ones_that_do_no_more_than_they_say(name: str) -> None:
    found = instructions(name)
    words = {word for word, _ in found}
    assert words <= {
        "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "RUN", "STOPSIGNAL",
        "USER", "WORKDIR",
    }  # fmt: skip
    for word, rest in found:
        if word in {"CMD", "ENTRYPOINT"}:
            assert rest.startswith("["), "without a shell in between, which would take the signals"
        if word == "WORKDIR":
            assert rest.startswith("/")
        if word == "RUN":
            assert not re.search(r"\bsudo\b|\bcd\b|apt-get|curl|wget|\|", rest), rest
            assert "pip install" not in rest or "--no-cache-dir" in rest


def test_the_servers_image_runs_as_nobody_in_particular_with_a_health_check() -> None:
    last = instructions("docker/Dockerfile")
    last = last[max(number for number, (word, _) in enumerate(last) if word == "FROM") :]
    words = dict(last)
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", words["USER"]), "a number, which orchestrators can judge"
    order = [word for word, _ in last]
    assert order.index("USER") > max(number for number, word in enumerate(order) if word in {"COPY", "RUN"})
    assert 'CMD ["recordlayer-server", "health"]' in words["HEALTHCHECK"]
    assert words["STOPSIGNAL"] == "SIGTERM"


def test_the_servers_image_takes_what_the_wheel_needs_and_nothing_else() -> None:
    ignored = read("docker/Dockerfile.dockerignore").split()
    assert ignored[0] == "*"
    kept = {name.removeprefix("!") for name in ignored if name.startswith("!")}
    copied = {
        source
        for word, rest in instructions("docker/Dockerfile")
        if word == "COPY" and "--from" not in rest
        for source in rest.split()[:-1]
    }
    assert copied == kept
    assert [name for name in kept if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("name", COMPOSE)
def test_every_service_that_is_waited_for_is_there_and_can_be_waited_for(name: str) -> None:
    services = compose(name)["services"]
    for service in services.values():
        for other, wish in service.get("depends_on", {}).items():
            if wish["condition"] == "service_healthy":
                assert "healthcheck" in services[other]
            else:
                assert wish["condition"] == "service_completed_successfully"
                assert "restart" not in services[other]


@pytest.mark.parametrize("name", COMPOSE)
def test_volumes_networks_and_files_that_services_name_are_declared(name: str) -> None:
    content = compose(name)
    for service in content["services"].values():
        for volume in service.get("volumes", ()):
            assert volume.partition(":")[0] in content["volumes"]
        for network in service.get("networks", ()):
            assert network in content["networks"]
        for config in service.get("configs", ()):
            assert config["source"] in content["configs"]
        if "build" in service:
            assert (ROOT / "docker" / service["build"]["context"] / service["build"]["dockerfile"]).is_file()


def test_all_files_take_the_same_release_of_foundationdb() -> None:
    texts = [read(name) for name in (*DOCKERFILES, *COMPOSE)]
    assert len({found for text in texts for found in re.findall(r"FDB_VERSION(?:=|:-)(7[\d.]+)", text)}) == 1


def test_the_cluster_has_three_processes_and_the_server_knows_all_of_them() -> None:
    content = compose("docker/compose.yaml")
    processes = [name for name in content["services"] if name.startswith("fdb-")]
    assert len(processes) == 3
    wanted = "recordlayer:compose@" + ",".join(f"{name}:4500" for name in processes)
    assert content["configs"]["cluster-file"]["content"].strip() == wanted
    for name in (*processes, "database"):
        assert content["services"][name]["environment"]["FDB_CLUSTER_FILE_CONTENTS"] == wanted
    assert all(content["services"][name]["hostname"] == name for name in processes)


def test_the_servers_container_can_write_nothing_and_gain_nothing() -> None:
    service = server()
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_the_servers_settings_in_the_compose_file_are_settings() -> None:
    environment = server()["environment"]
    config = load({}, environment)
    assert config.listen.public
    assert all(name.startswith(PREFIX) for name in environment)
    assert float(server()["stop_grace_period"].removesuffix("s")) > (config.grace + config.drain_delay).total_seconds()
