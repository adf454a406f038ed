"""A key is sent to the server that it is for, and shown nowhere."""

import pickle
from types import SimpleNamespace

import pytest

from edsel_assets.secret import Secret, SecretError, server_key, variable_of
from edsel_assets.study import EmbeddingSettings, JudgeModel
from edsel_assets.study.annotators import AnnotatorSettings
from edsel_assets.study.secrets import missing_key, variable_of_key

KEY = "sk-of-mine-1234"


def test_a_secret_is_shown_by_nothing_but_reveal() -> None:
    secret = Secret(KEY)
    shown = [str(secret), repr(secret), f"{secret}", f"{secret!r:>30}", str([secret])]
    assert not any("mine" in each for each in shown)
    assert secret.reveal() == KEY
    assert secret.hide(f"a {KEY} b {KEY}") == "a *** b ***"
    with pytest.raises(TypeError, match="not written down"):
        pickle.dumps(secret)
    with pytest.raises(ValueError, match="must not be empty"):
        Secret("")


@pytest.mark.parametrize(
    ("service", "base_url", "named", "variable"),
    [
        ("openai", None, None, "OPENAI_API_KEY"),
        ("cohere", None, None, "COHERE_API_KEY"),
        ("openai", None, "MINE", "MINE"),
        ("openai", "http://h", "MINE", "MINE"),
        ("openai", "http://h", None, None),
        ("cohere", "http://h", None, None),
    ],
)
def test_which_variable_holds_the_key_of_a_server(service, base_url, named, variable, monkeypatch) -> None:
    for each in ("OPENAI_API_KEY", "COHERE_API_KEY", "MINE"):
        monkeypatch.setenv(each, f" key-of-{each}\n")
    assert variable_of(service, base_url, named) == variable
    found = server_key(service, base_url, named)
    assert (found.reveal() if found else None) == (variable and f"key-of-{variable}")
    section = SimpleNamespace(source=service, base_url=base_url, key_variable=named)
    assert variable_of_key(section) == variable


@pytest.mark.parametrize("value", [None, "", " \n"])
def test_a_key_that_is_not_set_is_named(value, monkeypatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("OPENAI_API_KEY", value)
    with pytest.raises(SecretError, match="set OPENAI_API_KEY in the environment"):
        server_key("openai", None, None)
    assert missing_key(EmbeddingSettings(source="openai", name="m")) == "OPENAI_API_KEY"


@pytest.mark.parametrize("value", ["sk-of\nmine", "sk-of-mine-\u201c", "sk\tmine"])
def test_a_key_that_no_header_can_hold_is_refused_without_repeating_it(value, monkeypatch) -> None:
    monkeypatch.setenv("MINE", value)
    with pytest.raises(SecretError, match="the key in MINE holds") as caught:
        server_key("openai", None, "MINE")
    assert "sk" not in str(caught.value)


def test_what_is_loaded_here_needs_no_key() -> None:
    for section in (
        EmbeddingSettings(key_variable="MINE"),
        EmbeddingSettings(source="sentence_transformers", name="m", key_variable="MINE"),
        JudgeModel(by="local", model="m"),
        AnnotatorSettings(kind="people"),
    ):
        assert variable_of_key(section) is None
