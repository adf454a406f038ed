"""Malformed studies: each is one line that names place and remedy, soon and without a secret."""

import json
import random
import resource
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edsel_assets.study import Study, StudyError
from edsel_assets.study.secrets import refuse_secrets
from edsel_assets_tests.defs.conftest import TINY

VALID = yaml.safe_dump(TINY, sort_keys=False)
BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def load(path: Path, content: str | bytes) -> Study:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Study.load(path)


def changed(section: str, **values) -> str:
    return yaml.safe_dump({**TINY, section: {**TINY.get(section, {}), **values}}, sort_keys=False)


def with_text(section: str, line: str) -> str:
    """The valid study with one more line of text in a section that has no such setting yet."""
    return (
        VALID.replace(f"{section}:\n", f"{section}:\n  {line}\n")
        if f"{section}:\n" in VALID
        else (f"{VALID}{section}:\n  {line}\n")
    )


#: name: (content, what the line must say)
MALFORMED: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", r": is empty; a study has at least the settings name, selection"),
    "only comments": ("# nothing\n", r": is empty"),
    "a list": ("- a\n- b\n", r"is a mapping of settings \(name: value\); got a list"),
    "one word": ("demo", r"got one value, 'demo'"),
    "two documents": (VALID + "---\nname: x\n", r"line \d+: holds more than one document; keep one"),
    "a tab": ("name: x\npool:\n\tpath: y\n", r"line 3: a tab stands where spaces are needed; indent with"),
    "an open list": ("name: x\nlist: [1, 2\n", r"line 3: not valid YAML \(.*\); check the indentation"),
    "an open quote": ('name: "x\n', r"line 2: not valid YAML"),
    "wrong indentation": ("name: x\n  pool: y\n", r"line 2: not valid YAML"),
    "no space after the colon": ("name:x\npool: y\n", r"line 2: not valid YAML"),
    "an unknown alias": ("name: *x\n", r"line 1: not valid YAML \(found undefined alias 'x'\)"),
    "a bad escape": ('name: "\\q"\n', r"line 1: not valid YAML"),
    "a code point beyond Unicode": ('name: "\\UFFFFFFFF"\n', r"line 1: not valid YAML; check its escapes"),
    "half a surrogate pair": ('name: "\\ud800"\n', r"line 1: holds half a surrogate pair"),
    "a control character": (b"name: x\nnote: \x07\n", r"line 2: holds the control character U\+0007; remove"),
    "UTF-16": (VALID.encode("utf-16"), r"is UTF-16 text or no text; save it as UTF-8"),
    "UTF-16 without a mark": (VALID.encode("utf-16-le"), r"is UTF-16 text or no text; save it as UTF-8"),
    "Latin-1": (b"name: x\n# \xe9t\xe9\n", r"line 2: is not UTF-8 text \(byte 0xe9\); save it as UTF-8"),
    "a binary file": (b"PAR1\x00\x15\x04\x15", r"is UTF-16 text or no text; save it as UTF-8"),
    "a huge file": (b"#" * 200_000, r"larger than 100 kB, which no study is; check the path"),
    "an alias bomb": (BOMB, r"line \d+: grows to more than 20000 values .* write it without anchors"),
    "an alias bomb in a setting": (
        VALID + BOMB + "rounds: *i\n",
        r"grows to more than 20000 values .*without anchors|is there twice",
    ),
    "an anchor of itself": (
        "name: &a [*a]\n",
        r"grows to more than 20000 values or 40 levels",
    ),
    "deep nesting": ("name: " + "[" * 5000, r"line 1: nested more than 40 deep"),
    "a merge key": ("a: &a {b: 1}\nc:\n  <<: *a\n", r"line 3: merge keys \(<<\) are not for settings"),
    "a tag for Python": (
        "name: !!python/object/apply:os.system [ls]\n",
        r"line 1: the tag '.*' is not",
    ),
    "a tag for bytes": ("name: !!binary aGk=\n", r"line 1: the tag '.*binary' is not for settings"),
    "a wrong tag": ("name: !!int x\n", r"line 1: 'x' is not a int; write the value without a tag"),
    "a duplicate key": (
        VALID + "name: other\n",
        r"line \d+: 'name' is there twice, first on line 1; keep one",
    ),
    "a duplicate key inside": (
        with_text("selection", "budgets: [1]"),
        r"line \d+: 'budgets' is there twice, first on line \d+; keep one",
    ),
    "a number for a name": ("name: x\n5: y\n", r"line 2: the name of a setting is text; got '5'"),
    "a list for a name": ("name: x\n? [a]\n: y\n", r"line 2: the name of a setting is text; got 'a list or"),
    "an infinite width": (
        with_text("rounds", "temperature: {reward: .inf}"),
        r"line \d+: rounds.temperature.reward: should be a finite number; got inf",
    ),
    "an infinite gamma": (
        changed("selection", gamma=float("inf")),
        r"selection.gamma: should be a finite",
    ),
    "no number": (
        changed("selection", qdit_alpha=float("nan")),
        r"line \d+: selection.qdit_alpha: should be a finite number; got nan",
    ),
    "a number too large": (
        changed("finetuning", alpha="1e999"),
        r"finetuning.alpha: should be a fin",
    ),
    "a budget of true": (
        changed("selection", budgets=[True]),
        r"line \d+: selection.budgets.0: takes neither true nor false, got true",
    ),
    "a count of yes": (
        with_text("forward", "batch_tokens: yes"),
        r"batch_tokens: takes neither true nor false, got true",
    ),
    "a number for a switch": (
        changed("finetuning", fsdp=1),
        r"finetuning.fsdp: should be true or",
    ),
    "a setting of an earlier version": (
        changed("finetuning", packing=True),
        r"line \d+: finetuning.packing: is gone: batches hold examples of like length",
    ),
    "no for a name": (
        VALID.replace("name: tiny", "name: no"),
        r"line 1: name: takes neither true nor false, got false .put text in quotes",
    ),
    "a list for a section": (
        VALID.replace("rounds:\n", "rounds: []\nx:\n"),
        r"line \d+: rounds: .*\(got \[\]\); line \d+: x: no such setting",
    ),
    "an empty section": (
        VALID + "report:\n",
        r"line \d+: report: should be a section of settings .name: value. .got None",
    ),
    "a missing section": ("name: x\n", r": selection: is required"),
    "a missing setting": (
        VALID.replace("  budgets:\n  - 6\n  - 10\n", ""),
        r"selection.budgets: is required",
    ),
    "a misspelt section": (
        VALID.replace("rounds:\n", "round:\n"),
        r"line \d+: round: no such .*mean rounds\?",
    ),
    "a misspelt setting": (changed("pool", limt=3), r"pool.limt: no such setting .* did you mean limit\?"),
    "a misspelt setting in a list": (
        changed("evaluation", tasks=[{"name": "x", "num_fewshots": 1}]),
        r"evaluation.tasks.0.num_fewshots: no such setting .* did you mean num_fewshot\?",
    ),
    "a misspelt strategy": (
        changed("selection", strategies=["random", "kcenter"]),
        r"line \d+: selection.strategies.1: no strategy 'kcenter'; did you mean k_center\?",
    ),
    "a misspelt choice": (
        changed("finetuning", method="lorra"),
        r"finetuning.method: .* did you mean lora\?",
    ),
    "a setting like none": (
        changed("pool", zzz=3),
        r"pool.zzz: no such setting \(check the spelling\); there are path, .*max_characters$",
    ),
    "many at once": (
        VALID + "".join(f"x{i}: 1\n" for i in range(50)),
        r"x0: no such setting.*x4: no such setting.*; and 45 more$",
    ),
    "gamma is neither": (
        changed("selection", gamma=-1),
        r"selection.gamma: .*greater than 0 or .*'auto'.*got -1",
    ),
    "a long value": (changed("selection", gamma="x" * 50_000), r"selection.gamma: .{1,300}$"),
    "a needed variable": (
        "name: ${EDSEL_ABSENT}\n",
        r"line 1: needs the environment variable EDSEL_ABSENT; set it and run",
    ),
}

SECRETS: dict[str, tuple[str, str]] = {
    "a password in base_url": (
        with_text("embeddings", "base_url: https://me:S3CRETpass@host/v1"),
        r"line \d+: embeddings.base_url is an address with a password or key in it\. Write",
    ),
    "a token in base_url": (
        with_text("embeddings", "base_url: https://S3CRETpass@host/v1"),
        "embeddings.base_url",
    ),
    "a key in a query": (
        with_text("embeddings", "base_url: https://host/v1?x=1&api_key=S3CRETpass"),
        "embeddings.base_url is an address with a password",
    ),
    "a password in the pool's path": (
        with_text("pool", "annotations: s3://id:S3CRETpass@bucket/x"),
        "pool.annotations",
    ),
    "a signed address of Google's": (
        with_text("pool", "annotations: https://h/b/p.jsonl?X-Goog-Expires=9&X-Goog-Signature=S3CRET"),
        "pool.annotations is an address with a password or key",
    ),
    "a signed address of Azure's": (
        with_text("pool", "annotations: https://h/b/p.jsonl?sv=2024&sig=S3CRET"),
        "pool.annotations is an address",
    ),
    "a credential of a signed address": (
        with_text("pool", "annotations: https://h/b/p.jsonl?X-Amz-Credential=S3CRET"),
        "pool.annotations is an address",
    ),
    "an access key in a query": (
        with_text("pool", "annotations: https://h/p.jsonl?access_key=S3CRET"),
        "pool.annotations is an address",
    ),
    "a password in a chained address": (
        with_text("pool", "annotations: simplecache::https://user:S3CRET@h/p.jsonl"),
        "pool.annotations is an address",
    ),
    "a token in a chained address": (
        with_text("pool", "annotations: simplecache::https://S3CRET@h/p.jsonl"),
        "pool.annotations is an address",
    ),
    "a secret key in a chained address": (
        with_text("pool", "annotations: simplecache::s3://KEY:S3CRET@b/p"),
        "pool.annotations is an address",
    ),
    "a password in the second address of a chain": (
        with_text("pool", "annotations: zip://a.csv::filecache::ftp://user:S3CRET@h/p.zip"),
        "pool.annotations is an address",
    ),
    "a key for key_variable": (
        with_text("embeddings", "key_variable: sk-S3CRETpassS3CRETpass"),
        r"embeddings.key_variable is the name of an environment variable, such as OPENAI_API_KEY",
    ),
    "a hub token for key_variable": (
        with_text("embeddings", "key_variable: hf_S3CRETpassS3CRETpassabcd"),
        "embeddings.key_variable is the name of an environment variable",
    ),
    "hexadecimal for key_variable": (
        with_text("embeddings", "key_variable: S3CRETpass0123456789abcdef0123456789abcdef"),
        "embeddings.key_variable is the name",
    ),
    "a small hexadecimal key": (
        with_text("embeddings", "name: sk-0123456789abcdef0123456789abcdefS3CRET"),
        "embeddings.name looks like a key",
    ),
    "an access key of capitals": (
        with_text("embeddings", "name: AKIAS3CRETS3CRETS3CRET"),
        "embeddings.name looks like a key",
    ),
    "a key under an unknown setting": (
        with_text("embeddings", "api_key: sk-S3CRETpassS3CRETpass"),
        "api_key looks like",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_study_is_one_line_of_place_and_remedy(tmp_path, case) -> None:
    content, message = MALFORMED[case]
    path = tmp_path / "wrong.yaml"
    start = time.monotonic()
    with pytest.raises(StudyError, match=message) as caught:
        load(path, content)
    assert time.monotonic() - start < 1
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1500


def test_at_least_forty_of_them() -> None:
    assert len(MALFORMED) + len(SECRETS) >= 40


@pytest.mark.parametrize("case", SECRETS)
def test_a_secret_is_refused_and_not_repeated(tmp_path, case) -> None:
    content, message = SECRETS[case]
    with pytest.raises(StudyError, match=message) as caught:
        load(tmp_path / "secret.yaml", content)
    assert "S3CRET" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        "base_url: https://host:8000/v1",
        "key_variable: OPENAI_API_KEY",
        "base_url: http://127.0.0.1/v1?model=a@b",
        "name: sentence-transformers/all-MiniLM-L6-v2",
        "name: /data/hf_cache_directory_2024/sk_models_of_ours/co_training_sets",
        "name: sk-learn-data-sets-and-more",
        "key_variable: THE_KEY_OF_OUR_EMBEDDING_SERVER_2",
        "name: zip://a.csv::https://host:8000/p@1.zip",
        "name: https://host/p.jsonl?keys=2&signed=no&token=&tokens=3",
        "name: std::vector, a:b@c",
    ],
)
def test_what_is_no_secret_passes(tmp_path, line) -> None:
    load(tmp_path / "fine.yaml", with_text("embeddings", line))


@pytest.mark.parametrize("text", ["::" * 45_000, "//a:" * 22_000, "?key" * 22_000, "::https://" * 9_000])
def test_looking_for_secrets_takes_no_long_time(text) -> None:
    start = time.monotonic()
    refuse_secrets({"name": text}, {})
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("name", ["2024-99-99", "2024-01-31", "1.5.2", "0x1F", "1e5x"])
def test_dates_and_the_like_are_text(tmp_path, name) -> None:
    assert load(tmp_path / "dated.yaml", VALID.replace("name: tiny", f"name: {name}")).name == name


def test_numbers_as_people_write_them(tmp_path) -> None:
    text = VALID.replace("  budgets:\n  - 6\n  - 10\n", "  budgets: [010, 1_000]\n")
    study = load(tmp_path / "numbers.yaml", text.replace("gamma: 0.5", "gamma: 5e-1"))
    assert study.selection.budgets == [10, 1000]
    assert study.selection.gamma == 0.5


def test_anchors_within_limits_and_a_byte_order_mark_are_fine(tmp_path) -> None:
    text = VALID.replace("path: builtin:demo", "path: &demo builtin:demo", 1).replace(
        "model:\n  path: builtin:demo", "model:\n  path: *demo"
    )
    assert "*demo" in text
    assert load(tmp_path / "a.yaml", b"\xef\xbb\xbf" + text.encode()).model.path == "builtin:demo"


def test_a_windows_file_is_read(tmp_path) -> None:
    assert load(tmp_path / "a.yaml", VALID.replace("\n", "\r\n")).name == "tiny"


def test_a_study_that_is_not_there_is_named_with_those_that_are(tmp_path) -> None:
    with pytest.raises(
        StudyError, match=r"No study 'demmo': give a YAML file or one of .*; did you mean demo\?"
    ):
        Study.load("demmo")
    with pytest.raises(StudyError, match="it is a folder"):
        Study.load(tmp_path)
    for odd in ("x\0y", "y" * 5000, "a\nb"):
        with pytest.raises(StudyError, match="No study") as caught:
            Study.load(odd)
        assert "\n" not in str(caught.value)


def test_an_alias_bomb_takes_no_memory(tmp_path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.monotonic()
    for text in (
        BOMB,
        f"{VALID}note: {{a: &a [1,1,1,1]}}\n{BOMB}pool: *i\n",
        BOMB + "name: *i\nselection: *h\n",
    ):
        with pytest.raises(StudyError):
            load(tmp_path / "bomb.yaml", text)
    assert time.monotonic() - start < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


def check(path: Path, content: bytes) -> None:
    """Loads, or raises StudyError of one line, in bounded time."""
    path.write_bytes(content)
    start = time.monotonic()
    said = str(path)
    try:
        Study.load(path)
    except StudyError as error:
        said = str(error)
    assert said.startswith(str(path))
    assert "\n" not in said
    assert time.monotonic() - start < 3


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        ["random", "builtin:demo", "auto", "2024-99-99", "${HOME}", "1e999", ".inf", "*a", "<<", "\t"]
    ),
)
TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["name", "path", "limit", "x"]) | st.text(max_size=5), inner, max_size=4
        )
    ),
    max_leaves=8,
)
_SIGNS = (
    "&a |*a|!!int |<<: |{|}|[|]|: |- |\t|\n|\"|'|>\n|---\n|...\n|%YAML 1.1\n|? |#|${X:-y}|\ufeff|\x85|é|~"
)
FRAGMENTS = st.lists(st.sampled_from([*VALID.splitlines(keepends=True), *_SIGNS.split("|")]), max_size=30)
_FUZZ = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@_FUZZ
@given(st.binary(max_size=200))
@example(b"\xff")
def test_fuzz_bytes(tmp_path, content) -> None:
    check(tmp_path / "fuzz.yaml", content)


@_FUZZ
@given(FRAGMENTS)
def test_fuzz_fragments(tmp_path, parts) -> None:
    check(tmp_path / "fuzz.yaml", "".join(parts).encode())


@_FUZZ
@given(st.sampled_from(sorted(TINY)), st.text(max_size=8), TREES, st.integers(min_value=0))
def test_fuzz_values(tmp_path, section, name, value, seed) -> None:
    """A valid study with one value replaced by anything."""
    content = json.loads(json.dumps(TINY))
    draw = random.Random(seed)
    if isinstance(content[section], dict) and draw.random() < 0.8:
        content[section][draw.choice([*content[section], name])] = value
    else:
        content[section] = value
    text = yaml.safe_dump(content, allow_unicode=draw.random() < 0.5)
    check(tmp_path / "fuzz.yaml", text.encode("utf-8", "surrogatepass"))


@_FUZZ
@given(st.integers(min_value=0), st.integers(min_value=1, max_value=6))
def test_fuzz_changed_characters(tmp_path, seed, times) -> None:
    """A valid study with characters changed, removed and doubled."""
    draw, text = random.Random(seed), VALID
    for _ in range(times):
        i = draw.randrange(len(text))
        text = (
            text[:i]
            + draw.choice(["", text[i] * 2, draw.choice(":-[]{}&*!|>'\"%@`#,? \n\t\\~")])
            + text[i + 1 :]
        )
    check(tmp_path / "fuzz.yaml", text.encode())


def test_a_study_extends_a_shipped_one(tmp_path) -> None:
    demo = Study.load("demo")
    found = load(
        tmp_path / "s.yaml",
        "extends: demo\nname: more\nselection:\n  strategies: [random, k_center]\n  budgets: [60]\n"
        "  budgets_of: null\nfinetuning: {seeds: 2}\nevaluation: {held_out: 9}\n",
    )
    assert found.name == "more"
    assert found.selection.names == ["random", "k_center"]
    assert found.selection.budgets_of == {}
    assert found.finetuning == demo.finetuning.model_copy(update={"seeds": 2})
    assert found.evaluation.tasks == demo.evaluation.tasks
    assert found.pool == demo.pool
    with pytest.raises(
        StudyError, match=r"line 1: extends: should be one of the shipped studies bhatt2024, "
    ):
        load(tmp_path / "s.yaml", "extends: nobody\nname: more\n")
    with pytest.raises(StudyError, match=r"line 3: finetuning.seeds: should be a whole number"):
        load(tmp_path / "s.yaml", "extends: demo\nname: more\nfinetuning: {seeds: many}\n")


def test_the_variables_of_the_extended_study_are_needed_too(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("EDSEL_POOL", raising=False)
    file = tmp_path / "s.yaml"
    file.write_text("extends: yu2024\nname: more\n")
    assert "EDSEL_POOL" in Study.unset_variables(file)
