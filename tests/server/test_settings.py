"""Where settings come from, which of them wins, and that all of what is wrong is said before a port opens."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recordlayer.errors import InvalidSettings
from recordlayer_server.config import Address, Config
from recordlayer_server.loading import load
from recordlayer_server.settings import PREFIX, SETTINGS, Setting, Unreadable, read_text


def test_a_database_is_all_that_has_to_be_said() -> None:
    assert load({"db": "memory:"}, {}) == Config(db="memory:")


def test_the_defaults_of_the_table_and_of_the_configuration_are_the_same() -> None:
    """A Config that a test or another program makes behaves as the command does."""
    loaded, made = load({"db": "memory:"}, {}), Config(db="memory:")
    assert [name for name in Config.__slots__ if getattr(loaded, name) != getattr(made, name)] == []


def test_a_flag_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text('db = "file:a.rl"\ngrace = 1\nhealth_failures = 7\n')
    config = load(
        {"config": str(file), "grace": "3"},
        {f"{PREFIX}GRACE": "2", f"{PREFIX}HEALTH_FAILURES": "8", "PATH": "/bin", "RECORDLAYER_OTHER": "1"},
    )
    assert config.db == "file:a.rl"
    assert config.health.failures == 8
    assert config.grace == timedelta(seconds=3)


def test_the_environment_may_name_the_file(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text('db = "memory:"\nreflection = true\n')
    assert load({}, {f"{PREFIX}CONFIG": str(file)}).reflection


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text('reflektion = true\ngrace = "long"\nreflection = 1\nhealth_failures = true\n')
    environment = {f"{PREFIX}LISTEN": "nowhere", f"{PREFIX}HELTH_INTERVAL": "1"}
    with pytest.raises(InvalidSettings) as caught:
        load({"config": str(file), "log_level": "loud", "health_successes": "0", "keepalive": "nan"}, environment)
    assert sorted(problem.replace(str(tmp_path), "DIR") for problem in caught.value.problems) == [
        "RECORDLAYER_SERVER_HELTH_INTERVAL in the environment: there is no such setting",
        "db: nobody names the database; say --db URL or RECORDLAYER_SERVER_DB=URL, such as file:shop.rl or fdb:",
        "grace = 'long' (from the file DIR/server.toml): give a number",
        "health_failures = True (from the file DIR/server.toml): give a whole number",
        "health_successes = '0' (from the flag --health-successes): give a number from 1 to 1000",
        "keepalive = 'nan' (from the flag --keepalive): give a number from 1 to 86400",
        "listen = 'nowhere' (from RECORDLAYER_SERVER_LISTEN): give HOST:PORT with a port from 0 to 65535",
        "log_level = 'loud' (from the flag --log-level): use one of debug, info, warning, error",
        "reflection = 1 (from the file DIR/server.toml): say true or false",
        "reflektion in the file DIR/server.toml: there is no such setting",
    ]
    assert all(problem in str(caught.value) for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("content", "reason"), [(b"db = ", "not TOML"), (b'db = "\xff"', "not TOML"), (None, "No such file or directory")]
)
def test_a_file_that_cannot_be_read_is_named_with_the_reason(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    file = tmp_path / "server.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidSettings) as caught:
        load({"config": str(file), "db": "memory:"}, {})
    (problem,) = caught.value.problems
    assert str(file) in problem
    assert reason in problem


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_has_a_sensible_default_and_its_own_words(setting: Setting) -> None:
    assert type(setting.default) is setting.kind
    if setting.kind is not str:
        assert read_text(setting, str(setting.default)) == setting.default
    assert setting.variable == f"{PREFIX}{setting.name.upper()}"
    assert setting.flag.removeprefix("--").replace("-", "_") == setting.name


@given(setting=st.sampled_from(SETTINGS), text=st.text(max_size=12))
def test_any_text_is_a_value_of_the_settings_kind_or_refused(setting: Setting, text: str) -> None:
    try:
        value = read_text(setting, text)
    except Unreadable:
        return
    assert type(value) is setting.kind
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        assert setting.least <= value <= setting.most


@pytest.mark.parametrize(
    ("text", "host", "port", "public"),
    [
        ("127.0.0.1:1", "127.0.0.1", 1, False),
        ("127.9.9.9:65535", "127.9.9.9", 65535, False),
        ("localhost:0", "localhost", 0, False),
        ("[::1]:50051", "::1", 50051, False),
        ("0.0.0.0:80", "0.0.0.0", 80, True),
        ("[::]:80", "::", 80, True),
        ("10.0.0.1:80", "10.0.0.1", 80, True),
        ("[fe80::1]:80", "fe80::1", 80, True),
        ("db.example:80", "db.example", 80, True),
        ("localhost.example:80", "localhost.example", 80, True),
    ],
)
def test_an_address_says_whether_others_can_reach_it(text: str, host: str, port: int, public: bool) -> None:
    address = Address.parse(text)
    assert (address.host, address.port, address.public) == (host, port, public)
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    ["", ":", "host", "host:", ":80", "host:x", "host:65536", "host:-1", "::1:80", "[::1]", "[::1:80", "[x]:80", "h:٣"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        load({"db": "memory:", "listen": text}, {})
    (problem,) = caught.value.problems
    assert problem.startswith("listen = ")


@given(text=st.text(max_size=30))
def test_an_address_comes_back_as_it_was_or_is_refused(text: str) -> None:
    try:
        address = Address.parse(text)
    except ValueError:
        return
    assert Address.parse(str(address)) == address
