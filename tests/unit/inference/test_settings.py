"""Which backends the settings mean, in their present form and in the former one."""

import pytest

from troupe.core.settings import SettingsError
from troupe.inference.backends.gemini.settings import GeminiSettings
from troupe.inference.backends.triton.settings import TritonSettings
from troupe.inference.settings import InferenceSettings

PREFIX = "TROUPE_INFERENCE__"


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)


def loaded(monkeypatch: pytest.MonkeyPatch, **variables: str) -> InferenceSettings:
    for name, value in variables.items():
        monkeypatch.setenv(name if name == "GEMINI_API_KEY" else PREFIX + name, value)
    return InferenceSettings.load()


def test_one_triton_is_there_unless_backends_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    backends = InferenceSettings.load().all_backends()
    assert list(backends) == ["triton"]
    assert list(backends["triton"].models) == ["embedder", "generator"]
    assert list(loaded(monkeypatch, BACKENDS__GEMINI__API_KEY="k").all_backends()) == ["gemini"]


async def test_a_backend_is_of_the_kind_that_it_says_or_is_named_for(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(
        monkeypatch,
        BACKENDS__TRITON__URL="cpu:8001",
        BACKENDS__LLM__KIND="triton",
        BACKENDS__LLM__URL="gpu:8001",
        BACKENDS__LLM__MODELS='{"llama": {"kind": "generator", "price": {"output_usd_micros_per_million_tokens": 7}}}',
    )
    backends = settings.all_backends()
    assert {name: getattr(backend, "url", None) for name, backend in backends.items()} == {
        "triton": "cpu:8001",
        "llm": "gpu:8001",
    }
    (model,) = backends["llm"].open("llm").models
    assert (model.name, model.backend_name, model.output_price_usd_micros_per_million_tokens) == ("llama", "llm", 7)


def test_a_backend_can_be_given_as_one_text(monkeypatch: pytest.MonkeyPatch) -> None:
    backends = loaded(monkeypatch, BACKENDS__LLM='{"kind": "triton", "url": "gpu:1", "models": {}}').all_backends()
    assert list(backends) == ["llm"]


def test_a_key_of_gemini_is_all_that_gemini_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    backends = loaded(monkeypatch, GEMINI_API_KEY="k").all_backends()
    assert list(backends) == ["triton", "gemini"]
    named = loaded(monkeypatch, BACKENDS__GEMINI__BASE_URL="http://here").all_backends()["gemini"]
    assert isinstance(named, GeminiSettings)
    assert (named.api_key.get_secret_value(), named.base_url) == ("k", "http://here")


def test_former_settings_keep_working_and_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(
        monkeypatch,
        TRITON_URL="old:1",
        TRITON_MODELS='{"e": {"kind": "embedder", "dimensions": 3}}',
        GEMINI_API_KEY="k",
        GEMINI_MODELS='{"g": {}}',
        GEMINI_BASE_URL="http://old",
    )
    triton, gemini = settings.all_backends().values()
    assert isinstance(triton, TritonSettings)
    assert isinstance(gemini, GeminiSettings)
    assert (triton.url, list(triton.models), list(gemini.models), gemini.base_url) == (
        "old:1",
        ["e"],
        ["g"],
        "http://old",
    )
    assert settings.superseded() == {
        f"inference.{kind}_{field}": f"inference.backends.{kind}.{field}"
        for kind, field in (("triton", "url"), ("triton", "models"), ("gemini", "base_url"), ("gemini", "models"))
    }


def test_the_present_name_wins_over_the_former(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(monkeypatch, TRITON_URL="old:1", BACKENDS__TRITON__URL="new:1")
    triton = settings.all_backends()["triton"]
    assert isinstance(triton, TritonSettings)
    assert triton.url == "new:1"


def test_former_models_of_gemini_are_not_offered_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(loaded(monkeypatch, GEMINI_MODELS='{"g": {}}').all_backends()) == ["triton"]


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({"BACKENDS__LLM__KIND": "trition"}, r"backends.llm`: `kind` is 'trition'; known: 'triton', 'gemini'"),
        ({"BACKENDS__LLM__URL": "a:1"}, r"`inference.backends.llm`: `kind` is 'llm'; known:"),
        ({"BACKENDS__TRITON__URL": "a"}, r"backends.triton.url` = 'a': must be host:port.*__TRITON__URL"),
        ({"BACKENDS__TRITON__URLS": "a:1"}, r"`inference.backends.triton.urls` = 'a:1': .* did you mean `url`"),
        ({"BACKENDS__TRITON__MODELS": '{"x": {"kind": "chat"}}'}, r"backends.triton.models.x.kind` = 'chat': must be"),
        ({"BACKENDS__TRITON__MODELS": "chat"}, r"backends.triton.models` = 'chat': must be a table"),
        ({"BACKENDS__GEMINI__BASE_URL": "http://a"}, r"gemini.api_key` = .* must be set, here or as GEMINI_API_KEY"),
        ({"BACKENDS": '{"a b": {"kind": "triton"}}'}, r"`inference.backends.a b` = .*: the name of a backend is"),
        ({"BACKENDS": "triton"}, r"`inference.backends` = .* must be a table"),
    ],
)  # fmt: skip
def test_a_wrong_backend_is_one_line(variables: dict[str, str], problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=problem) as caught:
        loaded(monkeypatch, **variables)
    assert "\n" not in str(caught.value)


def test_a_former_setting_for_a_backend_of_another_kind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(monkeypatch, BACKENDS__TRITON__KIND="gemini", BACKENDS__TRITON__API_KEY="k", TRITON_URL="a:1")
    with pytest.raises(SettingsError, match=r"`inference.triton_url` means the backend `triton`.*kind 'gemini'"):
        settings.all_backends()
