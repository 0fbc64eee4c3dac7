"""Settings come from variables, then the file, then the defaults."""

from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import BaseModel, ConfigDict

from troupe.core.settings import CONFIG_VARIABLE, ServiceSettings, SettingsError


class Inner(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    port: int = 1
    size: int = 1


class Sample(ServiceSettings):
    section: ClassVar[str] = "sample"

    name: str = "default"
    inner: Inner = Inner(size=7)
    addresses: tuple[str, ...] = ()


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "troupe.toml"
    monkeypatch.setenv(CONFIG_VARIABLE, str(path))
    return path


def test_variables_win_over_the_file_and_the_file_over_defaults(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text('[sample]\nname = "file"\n[sample.inner]\nport = 2\n')
    monkeypatch.setenv("TROUPE_SAMPLE__INNER__PORT", "3")
    monkeypatch.setenv("TROUPE_SAMPLE__ADDRESSES", '["a:1", "b:2"]')
    settings = Sample.load()
    assert (settings.name, settings.inner.port, settings.addresses) == ("file", 3, ("a:1", "b:2"))


def test_a_field_that_is_set_leaves_the_defaults_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TROUPE_SAMPLE__INNER__PORT", "3")
    assert Sample.load().inner == Inner(port=3, size=7)


def test_a_wrong_value_is_named_with_its_variable_and_file(config: Path) -> None:
    config.write_text('[sample.inner]\nport = "many"\n')
    with pytest.raises(SettingsError, match=r"`sample.inner.port` = 'many'.*TROUPE_SAMPLE__INNER__PORT"):
        Sample.load()


def test_an_unknown_field_is_refused(config: Path) -> None:
    config.write_text("[sample]\nnmae = 1\n")
    with pytest.raises(SettingsError, match=r"sample\.nmae"):
        Sample.load()


def test_a_file_that_is_named_must_exist(config: Path) -> None:
    with pytest.raises(SettingsError, match="does not exist"):
        Sample.load()


def test_a_file_that_is_no_toml_is_named(config: Path) -> None:
    config.write_text("[sample")
    with pytest.raises(SettingsError, match="cannot be read"):
        Sample.load()
