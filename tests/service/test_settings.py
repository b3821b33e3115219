"""Settings: read once, checked, and refused with the variable's name."""

import os
from pathlib import Path

import msgspec
import pytest

from service.settings import NAMES, ROOT, Refused, Settings, read, read_secret, unknown


def test_nothing_set_gives_the_documented_defaults() -> None:
    settings = read({})
    assert (settings.port, settings.home, settings.demo, settings.admin) == (
        8000,
        ROOT / ".sales",
        True,
        "admin@localhost",
    )
    assert settings.address == "http://127.0.0.1:8000"
    assert settings.database_url == settings.redis_url == ""


def test_an_empty_variable_counts_as_not_set() -> None:
    assert read({"PORT": "", "SALES_DEMO": " "}) == read({})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "eight"),
        ("PORT", "-1"),
        ("SALES_DEMO", "perhaps"),
        ("SALES_ADMIN", "nobody"),
        ("SALES_ADMIN", "a b@c.example"),
        ("SALES_HOME", __file__),
        ("DATABASE_URL", "mysql://a:b@db.example/x"),
        ("DATABASE_URL", "postgresql://a:long-and-private@db.example"),
        ("DATABASE_URL", "postgresql://a:postgres@db.example/x"),
        ("REDIS_URL", "http://127.0.0.1:6379"),
        ("REDIS_URL", "redis://:changeme@cache.example:6379/0"),
        ("SALES_WEBHOOK_ALLOW", "127.0.0.1"),
        ("SALES_WEBHOOK_ALLOW", "127.0.0.1:9000,example"),
        ("SALES_OBJECTS", "/a/folder"),
        ("SALES_LOG", "loud"),
    ],
)
def test_a_wrong_value_is_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(Refused, match=name):
        read({name: text})


def test_a_known_password_is_allowed_on_this_machine_only() -> None:
    assert read({"DATABASE_URL": "postgres://postgres:postgres@127.0.0.1:5432/sales"}).database_url == (
        "postgresql://postgres:postgres@127.0.0.1:5432/sales"
    )


def test_an_application_url_needs_the_owners() -> None:
    with pytest.raises(Refused, match="DATABASE_URL"):
        read({"DATABASE_APP_URL": "postgresql://app:a-long-secret@db.example/sales"})


def test_children_read_the_same_settings_from_the_environment() -> None:
    first = read(
        {
            "PORT": "8123",
            "SALES_HOME": "/tmp/a home",
            "DATABASE_URL": "postgresql://o:p1@127.0.0.1:5/x",
            "DATABASE_APP_URL": "postgresql://a:p2@127.0.0.1:5/x",
            "SALES_DEMO": "no",
            "SALES_WEBHOOK_ALLOW": "127.0.0.1:9000, localhost:9001",
            "SALES_URL": "https://sales.example/",
        }
    )
    assert read(first.environment()) == first


def test_each_field_has_exactly_one_variable() -> None:
    fields = sorted(field.name for field in msgspec.structs.fields(Settings))
    assert sorted(field for field, _ in NAMES.values()) == fields


def test_settings_do_not_change() -> None:
    with pytest.raises(AttributeError):
        read({}).port = 1  # type: ignore[misc]


def test_a_misspelt_variable_is_noticed() -> None:
    assert unknown({"SALES_DEMMO": "no", "SALES_DEMO": "no", "OTHER": "x"}) == ["SALES_DEMMO"]


@pytest.mark.parametrize("text", ["", "secret", "short-but-random-9x", "a" * 64])
def test_a_weak_key_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "secret.key"
    path.write_text(text)
    with pytest.raises(Refused, match="guess"):
        read_secret(path)


def test_a_missing_key_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="cannot be read"):
        read_secret(tmp_path / "none")


def test_a_strong_key_is_read(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    key = os.urandom(32).hex()
    path.write_text(key + "\n")
    assert read_secret(path) == key.encode()
