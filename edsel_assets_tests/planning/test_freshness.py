"""Exactly which cells become stale when a setting, a file outside, a library or an input changes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from edsel_assets.kinds import deciding, settings_of
from edsel_assets.llm.models import dtypes
from edsel_assets.planning.cells import Cell, Lineage, Scope
from edsel_assets.planning.external import External
from edsel_assets.planning.freshness import State
from edsel_assets.planning.plan import plan
from edsel_assets.stages.signals import embedder_identity
from edsel_assets.store import Home
from edsel_assets.study import DeitaSettings, JudgeModel, RewardSettings, Study
from edsel_assets.study.inputs import ModelSettings
from edsel_assets_tests.planning.fake_store import fill, freshness_of, put

NOTHING: set[str] = set()
#: Kinds whose base model is the one that selects.
SELECTING = {"embeddings", "token_probabilities", "round_checkpoint", "round_weights"}
POOL = {"pool", "held_out"}
#: Kinds of cells that read the base model's outputs as they are put to it.
PROMPTED = {"embeddings", "token_probabilities"}
SCORES = {"base_scores", "benchmark_scores"}
TRAINED = {"lora_adapters", "round_checkpoint"}
READ_MODEL = {*PROMPTED, *SCORES, *TRAINED, "round_weights"}
FL = {f"rankings[{name}]" for name in ("fl_cosine", "fl_rbf", "fl_rbf_min_margin")}
RBF = {"rankings[fl_rbf]", "rankings[fl_rbf_min_margin]"}
BY_QUALITY = {"rankings[kmq]", "round_selection"}
CHAINED = {
    f"lora_adapters[{budget}|iterative_kmq_perplexity.s{seed}]"
    for budget in ("00060", "00180")
    for seed in range(3)
}
REWARD = RewardSettings(model="builtin:demo")
JUDGE = JudgeModel(model="judge")

#: Setting, another value, and the kinds or cells that it makes stale.
CHANGES: list[tuple[str, Any, set[str]]] = [
    ("prefix", "mine", NOTHING),
    ("pool.format", "jsonl", POOL),
    ("pool.columns", {"task": "task"}, POOL),
    ("pool.split", "test", POOL),
    ("pool.revision", "main", POOL),
    ("pool.limit", 900, POOL),
    ("pool.seed", 1, POOL),
    ("pool.annotated_only", True, POOL),
    ("pool.max_characters", 200, POOL),
    ("model.revision", "main", READ_MODEL),
    ("model.dtype", "bfloat16", READ_MODEL),
    ("model.device", "cpu", NOTHING),
    ("model.device_map", "balanced", NOTHING),
    ("model.threads", 2, NOTHING),
    ("model.trust_remote_code", True, NOTHING),
    ("model.template", "{prompt}", READ_MODEL),
    ("forward.max_new_tokens", 3, {"token_probabilities"}),
    ("forward.max_prompt_tokens", 50, {*PROMPTED, "round_weights"}),
    ("forward.batch_tokens", 99, NOTHING),
    ("forward.pooling", "mean", {"embeddings"}),
    ("forward.shard_rows", 9, NOTHING),
    ("embeddings.source", "openai", {"embeddings"}),
    ("embeddings.name", "another", NOTHING),  # read where the source is not the model
    ("embeddings.path", "another.npy", NOTHING),  # these where it is a file: see below
    ("embeddings.column", "another", NOTHING),
    ("embeddings.align", "row", NOTHING),
    ("embeddings.revision", "another", NOTHING),
    ("embeddings.base_url", "http://localhost", NOTHING),
    ("embeddings.key_variable", "ANOTHER", NOTHING),
    ("embeddings.batch_size", 3, NOTHING),
    ("embeddings.requests_per_minute", 3, NOTHING),
    ("embeddings.input", "prompt_response", {"embeddings"}),
    ("embeddings.transform", "none", {"embeddings"}),
    ("embeddings.dimensions", 3, NOTHING),  # read where embeddings are whitened
    ("uncertainty.entropy_sign", "paper_literal", {"uncertainty_scores[mean_entropy]"}),
    ("uncertainty.length_normalised", True, {"uncertainty_scores[least_confidence]"}),
    ("clustering.seed", 1, {"clusters", "cluster_count"}),
    ("clustering.restarts", 2, {"clusters"}),
    ("clustering.iterations", 7, {"clusters"}),
    ("quality.input", "prompt_response", NOTHING),  # the forward pass has read the prompts
    ("quality.reward", REWARD, NOTHING),  # these where a scorer reads them: see below
    ("quality.deita", DeitaSettings(quality=REWARD, complexity=REWARD), NOTHING),
    ("quality.judge", JUDGE, NOTHING),
    ("quality.file", "scores.csv", NOTHING),
    ("quality.column", "another", NOTHING),
    ("quality.complexity_column", "another", NOTHING),
    ("quality.threshold", 0.4, {"cluster_quality"}),
    ("quality.threshold_quantile", 0.4, {"cluster_quality"}),
    (
        "selection.seed",
        7,
        {
            *BY_QUALITY,
            "round_checkpoint",
            "selection_checks",
            "rankings[random]",
            "rankings[km_random]",
            "rankings[k_center]",
        },
    ),
    ("selection.gamma", 0.3, {*RBF, "kernel_width"}),
    ("selection.gammas", [0.5], {"kernel_width"}),
    ("selection.normalise", False, {*RBF, "kernel_width"}),
    ("selection.k_center_normalise", False, {"rankings[k_center]"}),
    ("selection.utility_weight", 3.0, {"rankings[fl_rbf_min_margin]"}),
    ("selection.seed_point", "random", {"rankings[k_center]"}),
    ("selection.deita_threshold", 0.8, {"rankings[deita]"}),
    ("selection.qdit_alpha", 0.2, {"rankings[qdit]"}),
    ("selection.quality_temperature", 2.0, BY_QUALITY),
    ("selection.replacement", True, BY_QUALITY),
    ("selection.worth", "quality_complexity", {*BY_QUALITY, "rankings[qdit]"}),
    ("selection.engine", "dense", NOTHING),
    ("selection.memory_limit_gib", 3.0, NOTHING),
    ("selection.noise", 0.3, NOTHING),  # read by strategies that aim, of which the study has none
    ("selection.quotas_by", "clusters", NOTHING),
    ("selection.by_price", True, {"rankings", "round_selection", "kernel_width", "selection_checks"}),
    ("finetuning.method", "dora", TRAINED),
    ("finetuning.rank", 3, TRAINED),
    ("finetuning.alpha", 3.0, TRAINED),
    ("finetuning.dropout", 0.3, TRAINED),
    ("finetuning.target_modules", ["q_proj"], TRAINED),
    ("finetuning.learning_rate", 0.3, TRAINED),
    ("finetuning.schedule", "cosine", TRAINED),
    ("finetuning.warmup", 0.3, TRAINED),
    ("finetuning.batch_size", 3, TRAINED),
    ("finetuning.epochs", 3, {"lora_adapters"}),
    ("finetuning.max_length", 33, TRAINED),
    ("finetuning.micro_batch_tokens", 99, NOTHING),
    ("finetuning.gradient_checkpointing", True, NOTHING),
    ("finetuning.weight_decay", 0.3, TRAINED),
    ("finetuning.max_grad_norm", 3.0, TRAINED),
    ("finetuning.dtype", "bfloat16", TRAINED),
    ("finetuning.checkpoint_steps", 3, NOTHING),
    ("finetuning.launcher", "accelerate", NOTHING),
    ("finetuning.processes", 2, NOTHING),
    ("finetuning.fsdp", True, NOTHING),
    ("finetuning.seeds", 4, {"rankings[random]", "rankings[km_random]", "rankings[kmq]"}),
    ("finetuning.random_seeds", 7, {"rankings[random]"}),
    ("evaluation.data_directory", "elsewhere", NOTHING),
    ("evaluation.batch_tokens", 99, NOTHING),
    ("evaluation.max_length", 99, SCORES),
    ("evaluation.seed", 3, SCORES),
    ("evaluation.share_seed", 3, NOTHING),  # read where a task has a share
    ("evaluation.chat_template", True, SCORES),
    ("evaluation.fewshot_as_multiturn", False, NOTHING),  # read with a chat template
    ("evaluation.backend", "hf", SCORES),
    ("evaluation.backend_arguments", {"batch_size": 3}, SCORES),
    ("evaluation.held_out", 20, POOL),
    ("evaluation.held_out_seed", 3, POOL),
    ("evaluation.held_out_answers", ["rouge_l"], SCORES),
    ("evaluation.held_out_max_new_tokens", 9, NOTHING),  # read where answers are written: see below
    ("annotation.price_by", "length", {"label_efficiency"}),  # an order that was placed keeps its prices
    ("annotation.price", 3.0, NOTHING),
    ("annotation.per_thousand_prompt", 3.0, NOTHING),
    ("annotation.per_thousand_response", 3.0, NOTHING),
    ("annotation.expected_response", 3.0, NOTHING),
    ("annotation.validation", 3, NOTHING),
    ("annotation.annotator.kind", "pool", NOTHING),
    ("annotation.annotator.folder", "x", NOTHING),
    ("annotation.annotator.settle_seconds", 1.0, NOTHING),
    ("annotation.annotator.model", "x", NOTHING),
    ("annotation.annotator.base_url", "http://localhost", NOTHING),
    ("annotation.annotator.key_variable", "X", NOTHING),
    ("annotation.annotator.system", "x", NOTHING),
    ("annotation.annotator.max_tokens", 3, NOTHING),
    ("annotation.annotator.tokens_parameter", "max_completion_tokens", NOTHING),
    ("annotation.annotator.temperature", 0.3, NOTHING),
    ("annotation.annotator.requests_per_minute", 3, NOTHING),
    ("annotation.annotator.concurrency", 3, NOTHING),
    ("annotation.annotator.attempts", 3, NOTHING),
    ("annotation.annotator.timeout_seconds", 3.0, NOTHING),
    ("annotation.annotator.per_thousand_prompt_tokens", 3.0, NOTHING),
    ("annotation.annotator.per_thousand_response_tokens", 3.0, NOTHING),
    ("annotation.annotator.max_cost", 3.0, NOTHING),
    ("rounds.temperature", {"perplexity": 3.0}, {"round_weights"}),
    ("rounds.temperature", {"reward": 3.0}, NOTHING),
    ("rounds.literal", True, {"round_weights"}),
    ("rounds.start", "continue", {"round_weights", "round_checkpoint", *CHAINED}),
    ("rounds.epochs", 3, {"round_checkpoint"}),
    ("rounds.max_new_tokens", 3, {"round_weights"}),
    ("triggers", [], NOTHING),
    ("rounds.joint", True, {"round_weights"}),
    ("selection.model", ModelSettings(path="builtin:demo", dtype="float16"), SELECTING),
    ("rounds.reward", REWARD, NOTHING),
    ("rounds.judge", JUDGE, NOTHING),
    ("rounds.collapse", 0.1, NOTHING),
]
#: These change which cells there are; they have tests of their own.
SHAPES = {
    "name",
    "pool.path",
    "pool.annotations",
    "model.path",
    "other_embeddings",
    "clustering.counts",
    "clustering.count",
    "quality.scorer",
    "selection.strategies",
    "selection.variants",
    "selection.budgets",
    "selection.budgets_of",
    "selection.target",
    "targets",
    "evaluation.tasks",
    "evaluation.include_path",
    "evaluation.judge",
    "evaluation.humaneval",
    "rounds.rounds",
    "rounds.score",
    "report.average",
    "report.control",
}


def changed(study: Study, dotted: str, value: Any) -> Study:
    """The study with one setting replaced, unchecked: some values need others beside them."""

    def within(model: Any, names: list[str]) -> Any:
        inner = value if len(names) == 1 else within(getattr(model, names[0]), names[1:])
        return model.model_copy(update={names[0]: inner})

    return within(study, dotted.split("."))


def stale(study: Study, home: Path) -> set[str]:
    """Cells that are certain to be made again, by name, those that a run leaves out among them."""
    freshness = freshness_of(study, home)
    found = plan(freshness, Scope(assets=frozenset(freshness.lineage.nodes)))
    return {str(step.cell) for step in found.certain if step.state is not State.MISSING}


def expand(lineage: Lineage, names: set[str]) -> set[str]:
    """Every cell of the kinds and cells named."""
    cells = [cell for node in lineage.nodes.values() for cell in node.cells()]
    return {str(cell) for cell in cells if cell.kind in names or str(cell) in names}


def leaves(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from leaves(kind, f"{prefix}{name}.")
        else:
            yield prefix + name


@pytest.fixture(autouse=True)
def _on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dtypes, "has_gpu", lambda: False)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Path, Lineage]:
    home = tmp_path_factory.mktemp("home")
    demo = Study.load("demo")
    # One list of budgets for all strategies, so that the tests can change it.
    study = demo.model_copy(update={"selection": demo.selection.model_copy(update={"budgets_of": {}})})
    return study, home, fill(study, home)


def test_the_table_has_every_setting_of_a_study() -> None:
    assert {name for name, _, _ in CHANGES} | SHAPES == set(leaves(Study))


def test_what_auto_is_on_another_machine_makes_stale_and_says_how_to_keep(filled, monkeypatch) -> None:
    """What was made on a CPU, seen on a GPU, for a model whose weights are stored in bfloat16."""
    study, home, lineage = filled
    monkeypatch.setattr(dtypes, "has_gpu", lambda: True)
    monkeypatch.setattr(dtypes, "_stored_dtype", lambda name, revision: "bfloat16")
    assert stale(study, home) == expand(lineage, READ_MODEL)
    (reasons,) = (
        [*map(str, step.reasons)]
        for step in plan(freshness_of(study, home)).certain
        if step.cell.kind == "embeddings"
    )
    assert "model.dtype float32 -> bfloat16" in reasons
    assert "model.dtype auto is bfloat16 on this machine; model.dtype: float32 keeps what was made" in reasons
    kept = changed(changed(study, "model.dtype", "float32"), "finetuning.dtype", "float32")
    assert not stale(kept, home)


def test_nothing_is_stale_where_nothing_changed(filled) -> None:
    study, home, _ = filled
    assert not plan(freshness_of(study, home)).steps


@pytest.mark.parametrize(("setting", "value", "expected"), CHANGES, ids=[name for name, _, _ in CHANGES])
def test_a_setting_makes_the_cells_stale_that_read_it_and_no_others(filled, setting, value, expected) -> None:
    study, home, lineage = filled
    assert changed(study, setting, value) != study, "the table must give another value"
    assert stale(changed(study, setting, value), home) == expand(lineage, expected)


@pytest.mark.parametrize(
    ("budgets", "expected"),
    [
        ([60], {"rankings", "kernel_width", "label_efficiency"}),
        ([60, 180, 120], {"rankings[km_random]", "rankings[km_closest]", "rankings[kmq]"}),
    ],
)
def test_budgets_make_rankings_stale_where_the_largest_changed_or_each_has_one(
    filled, budgets, expected
) -> None:
    study, home, _ = filled
    selection = study.selection.model_copy(update={"budgets": budgets})
    other = study.model_copy(update={"selection": selection})
    assert stale(other, home) == expand(freshness_of(other, home).lineage, expected)


@pytest.mark.parametrize(
    ("rule", "setting", "value", "matters"),
    [
        ("prompt", "price", 3.0, True),
        ("length", "price", 3.0, False),
        ("length", "per_thousand_prompt", 3.0, True),
        ("length", "per_thousand_response", 3.0, True),
        ("length", "expected_response", 3.0, True),
        ("prompt", "expected_response", 3.0, False),
        ("column", "price", 3.0, False),
    ],
)
def test_prices_matter_to_selections_only_where_budgets_are_money(rule, setting, value, matters) -> None:
    money = changed(changed(Study.load("demo"), "selection.by_price", True), "annotation.price_by", rule)
    other = changed(money, f"annotation.{setting}", value)
    for kind, partition in (("rankings", "fl_rbf"), ("rankings", "random"), ("kernel_width", None)):
        before, after = (settings_of(study, kind, partition) for study in (money, other))
        assert (before != after) is matters, kind


def test_a_metric_makes_the_report_stale_and_no_score(filled) -> None:
    study, home, _ = filled
    tasks = [task.model_copy(update={"metric": "another"}) for task in study.evaluation.tasks]
    assert stale(changed(study, "evaluation.tasks", tasks), home) == {"label_efficiency"}


def test_shots_of_a_task_make_scores_stale_and_are_named(filled) -> None:
    study, home, lineage = filled
    first, *rest = study.evaluation.tasks
    other = changed(study, "evaluation.tasks", [first.model_copy(update={"num_fewshot": 2}), *rest])
    assert stale(other, home) == expand(lineage, SCORES)
    verdict = freshness_of(other, home).verdict(Cell("base_scores"))
    assert verdict.why == f"evaluation.tasks.{first.name}.num_fewshot none -> 2"


@pytest.mark.parametrize(
    ("library", "expected"),
    [
        (
            "torch",
            {
                *READ_MODEL,
                "clusters",
                "embedding_geometry",
                "kernel_width",
                "cluster_count",
                "selection_checks",
                *FL,
                "rankings[k_center]",
                "rankings[deita]",
                "rankings[qdit]",
            },
        ),
        ("transformers", READ_MODEL),
        ("peft", READ_MODEL - PROMPTED - {"base_scores"}),
        ("lm-eval", SCORES),
        ("pandas", NOTHING),
    ],
)
def test_a_librarys_version_makes_what_it_decides_stale(filled, monkeypatch, library, expected) -> None:
    study, home, lineage = filled
    real = deciding.version
    monkeypatch.setattr(deciding, "version", lambda name: "99" if name == library else real(name))
    assert stale(study, home) == expand(lineage, expected)


# -- files outside the store


@pytest.fixture
def outside(tmp_path: Path) -> tuple[Study, Path, Lineage]:
    """A study on files of its own, all of whose cells are fresh."""
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool" / "a.jsonl").write_text('{"prompt": "a"}\n')
    (tmp_path / "answers.csv").write_text("prompt,response\na,b\n")
    model = tmp_path / "model"
    model.mkdir()
    names = (
        "config.json",
        "tokenizer.json",
        "merges.txt",
        "vocab.txt",
        "chat_template.jinja",
        "code.py",
        "README.md",
    )
    for name in (*names, "model.safetensors"):
        (model / name).write_text(name)
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    (tasks / "mine.yaml").write_text("task: mine\n")
    (tmp_path / "data" / "me" / "mine").mkdir(parents=True)
    (tmp_path / "data" / "me" / "mine" / "test.jsonl").write_text("{}\n")
    sentence = tmp_path / "sentence"
    (sentence / "1_Pooling").mkdir(parents=True)
    for name in ("modules.json", "model.safetensors", "vocab.txt", "README.md", "1_Pooling/config.json"):
        (sentence / name).write_text(name)
    (tmp_path / "vectors.npy").write_text("vectors")
    study = Study.model_validate(
        {
            "name": "files",
            "pool": {"path": str(tmp_path / "pool"), "annotations": str(tmp_path / "answers.csv")},
            "model": {"path": str(model)},
            "other_embeddings": {
                "sentences": {"source": "sentence_transformers", "name": str(sentence)},
                "served": {"source": "openai", "name": "m"},
                "given": {"source": "file", "path": str(tmp_path / "vectors.npy")},
            },
            "selection": {"strategies": ["random", "min_margin"], "budgets": [2]},
            "finetuning": {"seeds": 1},
            "evaluation": {
                "tasks": ["mine"],
                "include_path": str(tasks),
                "data_directory": str(tmp_path / "data"),
            },
        }
    )
    home = tmp_path / "home"
    return study, home, fill(study, home, data_set=tmp_path / "data" / "me" / "mine")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("pool/a.jsonl", {*POOL, "other_embeddings[given]"}),  # a vector may belong to a row
        ("pool/b.jsonl", {*POOL, "other_embeddings[given]"}),
        ("vectors.npy", {"other_embeddings[given]"}),
        ("answers.csv", {"annotations"}),
        *(
            (f"model/{name}", READ_MODEL)
            for name in ("config.json", "tokenizer.json", "merges.txt", "vocab.txt")
        ),
        ("model/chat_template.jinja", READ_MODEL),
        ("model/model.safetensors", READ_MODEL),
        ("model/code.py", NOTHING),  # not run: trust_remote_code is off
        ("model/README.md", NOTHING),
        *(
            (f"sentence/{name}", {"other_embeddings[sentences]"})
            for name in ("modules.json", "model.safetensors", "vocab.txt", "1_Pooling/config.json")
        ),
        ("sentence/README.md", NOTHING),
        ("tasks/mine.yaml", SCORES),
        ("data/me/mine/test.jsonl", SCORES),
        ("data/me/mine/more.jsonl", SCORES),
        ("data/another/test.jsonl", NOTHING),
    ],
)
def test_a_file_edited_in_place_makes_the_cells_stale_that_read_it(outside, tmp_path, path, expected) -> None:
    study, home, lineage = outside
    assert stale(study, home) == NOTHING
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as handle:
        handle.write('{"prompt": "more"}\n')
    assert stale(study, home) == expand(lineage, expected)


def test_code_of_the_model_counts_where_it_is_run(outside, tmp_path) -> None:
    study, home, _ = outside
    trusting = changed(study, "model.trust_remote_code", True)
    lineage = fill(trusting, home)
    (tmp_path / "model" / "code.py").write_text("other")
    assert stale(trusting, home) == expand(lineage, READ_MODEL)


def test_files_that_are_touched_or_moved_are_the_same(outside, tmp_path) -> None:
    study, home, _ = outside
    (tmp_path / "pool" / "a.jsonl").touch()
    (tmp_path / "model").rename(tmp_path / "moved")
    assert stale(changed(study, "model.path", str(tmp_path / "moved")), home) == NOTHING


def test_a_file_that_is_gone_is_said_in_words(outside, tmp_path) -> None:
    study, home, _ = outside
    (tmp_path / "model" / "merges.txt").unlink()
    assert freshness_of(study, home).verdict(Cell("base_scores")).why == "model/merges.txt is gone"


def test_rows_of_a_sentence_model_are_those_of_its_files(outside, tmp_path) -> None:
    study = outside[0]
    sentences, served = (study.other_embeddings[name] for name in ("sentences", "served"))
    home = Home.at(tmp_path)
    before, paid = embedder_identity(sentences, home), embedder_identity(served, home)
    (tmp_path / "sentence" / "README.md").write_text("other")
    assert embedder_identity(sentences, home) == before
    (tmp_path / "sentence" / "1_Pooling" / "config.json").write_text("other")
    assert embedder_identity(sentences, home) != before
    # Rows that were paid for are found under what they always were.
    assert paid == {"source": "openai", "name": "m", "revision": None, "base_url": None}
    own = study.model_copy(update={"embeddings": sentences})
    assert "embeddings/1_Pooling/config.json" in External(own, Home.at(tmp_path / "home")).of("embeddings")


# -- inputs and artifacts


def test_a_parent_made_anew_after_its_child_read_it_makes_the_child_stale(filled, tmp_path) -> None:
    study, home = filled[0], tmp_path
    lineage = fill(study, home)
    put(study, home, lineage, Cell("pool"), "another pool")
    found = freshness_of(study, home).verdict(Cell("embeddings"))
    assert (found.state, found.why) == (State.STALE, "pool changed")
    # The child was made from the old one: that its parent is fresh now does not make it so.
    assert freshness_of(study, home).verdict(Cell("pool")).state is State.FRESH


def test_a_parent_with_the_same_content_leaves_the_child_fresh(filled, tmp_path) -> None:
    study, home = filled[0], tmp_path
    lineage = fill(study, home)
    put(study, home, lineage, Cell("pool"), "pool")
    assert stale(study, home) == NOTHING


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda file: file.unlink(), "kmq.parquet is gone"),
        (lambda file: file.write_text(""), "kmq.parquet has 0 bytes, not 13"),
        (lambda file: file.write_text("rankings[KMQ]"), "checksum of kmq.parquet differs"),
    ],
)
def test_a_damaged_artifact_is_noticed_and_named(filled, tmp_path, harm, reason) -> None:
    study, home = filled[0], tmp_path
    fill(study, home)
    harm(home / "store" / study.name / "rankings" / "kmq.parquet")
    verdict = freshness_of(study, home).verdict(Cell("rankings", "kmq"))
    assert (verdict.state, verdict.why) == (State.DAMAGED, reason)


def test_a_ledger_that_is_no_ledger_is_damage(filled, tmp_path) -> None:
    study, home = filled[0], tmp_path
    fill(study, home)
    file = home / "store" / study.name / "rankings" / "kmq.json"
    file.write_text(json.dumps({"asset": "rankings"}))
    assert freshness_of(study, home).verdict(Cell("rankings", "kmq")).state is State.DAMAGED


def test_a_ledger_without_its_artifact_is_no_artifact(filled, tmp_path) -> None:
    study, home = filled[0], tmp_path
    fill(study, home)
    (home / "store" / study.name / "rankings" / "kmq.json").unlink()
    verdict = freshness_of(study, home).verdict(Cell("rankings", "kmq"))
    assert (verdict.state, verdict.why) == (State.MISSING, "its making was cut short")
