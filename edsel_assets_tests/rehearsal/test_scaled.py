"""The rehearsal of a study: what is the same, what is small, what is replaced."""

import os
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from edsel_assets.demo import DEMO
from edsel_assets.rehearsal.scaled import changed, rehearsed, sections
from edsel_assets.rehearsal.sizes import Numbers, Size, StandIns, scaled_down
from edsel_assets.study import Study, shipped_studies
from edsel_assets.study.base import Settings

STAND_INS = StandIns(
    pool="/there/pool.parquet",
    prompts=230,
    tasks="/there/tasks",
    judge="http://here/v1",
    instructions="/there/instructions.json",
    reward_model="/there/reward",
)


def shipped(name: str) -> Study:
    unset = Study.unset_variables(name)
    return Study.load(name, {**os.environ, **{variable: f"/unset/{variable}" for variable in unset}})


def stand_ins(study: Study) -> StandIns:
    names = frozenset(task.name for task in study.evaluation.tasks)
    return StandIns(**{**vars(STAND_INS), "task_names": names})


@pytest.mark.parametrize("name", shipped_studies())
def test_a_rehearsal_has_the_structure_of_its_study(name) -> None:
    study = shipped(name)
    small = rehearsed(study, Size(), stand_ins(study))
    assert small.name == f"{name}-rehearsal"
    assert small.selection.names == study.selection.names
    assert small.control == study.control
    for each in study.selection.names:
        assert small.strategy(each) == study.strategy(each)
        assert len(small.selection.budgets_for(each)) == min(len(study.selection.budgets_for(each)), 3)
        assert min(small.selection.budgets_for(each)) >= small.rounds.rounds
        assert max(small.selection.budgets_for(each)) <= Size().largest
    assert small.rounds.rounds == study.rounds.rounds
    assert len(small.clustering.counts) == len(study.clustering.counts)
    own = [(task.name, task.metric, task.num_fewshot) for task in study.evaluation.tasks]
    assert [(task.name, task.metric, task.num_fewshot) for task in small.evaluation.tasks] == own
    assert small.finetuning.method == study.finetuning.method


@pytest.mark.parametrize("name", shipped_studies())
def test_a_rehearsal_reads_nothing_of_its_studys_own(name) -> None:
    study = shipped(name)
    small = rehearsed(study, Size(), stand_ins(study))
    assert small.pool.path == "/there/pool.parquet"
    assert small.model.path == DEMO
    assert small.evaluation.include_path == "/there/tasks"
    assert {embeddings.source for embeddings in (small.embeddings, *small.other_embeddings.values())} == {
        "model"
    }
    assert (small.finetuning.launcher, small.finetuning.processes, small.finetuning.fsdp) == (None, 1, False)
    assert small.finetuning.epochs == 1


def test_variants_keep_their_switches_and_get_small_counts() -> None:
    study = shipped("yu2024_clusters")
    small = rehearsed(study, Size(), stand_ins(study))
    order = sorted(study.clustering.counts)
    for name, variant in study.selection.variants.items():
        assert small.selection.variants[name].embeddings == variant.embeddings
        if variant.clusters is not None:
            count = small.selection.variants[name].clusters
            assert sorted(small.clustering.counts).index(count) == order.index(variant.clusters)
    gammas = shipped("bhatt2024").selection
    kept = rehearsed(shipped("bhatt2024"), Size(), STAND_INS).selection
    assert [kept.of(name).gamma for name in kept.names] == [gammas.of(name).gamma for name in gammas.names]


def test_budgets_keep_their_share_of_the_pool_where_it_is_known() -> None:
    study = shipped("bhatt2024")
    known = StandIns(**{**vars(STAND_INS), "whole_pool": 99_000})
    # 230 prompts less 16 held out are 214 of 99,000; 48 is less than the share 0.0021 of 90,000.
    assert rehearsed(study, Size(), known).selection.every_budget == [11, 16, 24, 48]
    assert rehearsed(study, Size(largest=300), known).selection.every_budget == [43, 65, 97, 195]


def test_few_prompts_for_many_budgets_are_refused() -> None:
    with pytest.raises(ValueError, match="8 different budgets or cluster counts do not fit between 2 and 8"):
        rehearsed(shipped("yu2024_clusters"), Size(), StandIns(**{**vars(STAND_INS), "prompts": 35}))


@given(
    values=st.lists(st.integers(1, 10**6), min_size=1, max_size=8),
    factor=st.floats(1e-6, 1),
    least=st.integers(1, 5),
    room=st.integers(8, 200),
)
def test_scaling_keeps_order_and_bounds(values, factor, least, room) -> None:
    most = least + room
    small = scaled_down(values, factor, least, most)
    assert set(small) == set(values)
    ordered = [small[value] for value in sorted(small)]
    assert all(a < b for a, b in pairwise(ordered))
    assert least <= ordered[0]
    assert ordered[-1] <= most
    wanted = [round(value * factor) for value in sorted(small)]
    if all(a < b for a, b in pairwise(wanted)) and least <= wanted[0] and wanted[-1] <= most:
        assert ordered == wanted


class JudgeModel(Settings):
    """As a section of the same name in a study."""

    by: str = "local"
    model: str = "gpt-4"
    base_url: str | None = None
    key_variable: str | None = "MY_KEY"
    price_prompt: float = 0.01


class RewardSettings(Settings):
    model: str = "somebody/reward"
    revision: str | None = None
    dtype: str = "auto"
    label: str | None = None
    template: str | None = None


class Anywhere(Settings):
    judge: JudgeModel = JudgeModel()
    rewards: dict[str, RewardSettings] = Field(default_factory=lambda: {"one": RewardSettings()})


def test_judges_and_reward_models_are_replaced_wherever_they_stand() -> None:
    where = StandIns(**{**vars(STAND_INS), "reward_model": "/there/reward"})
    numbers = Numbers.of(shipped("demo"), Size(), where)
    small = Anywhere.model_validate(changed(Anywhere(rewards={"one": RewardSettings()}), numbers))
    assert small.judge == JudgeModel(by="openai", base_url="http://here/v1", key_variable=None)
    assert small.rewards["one"].model == "/there/reward"
    assert "{prompt}" in str(small.rewards["one"].template)


@pytest.mark.parametrize(("wanted", "small"), [(0, 0), (5, 5), (150, 16), (0.02, 5), (0.5, 16)])
def test_a_share_that_is_held_out_becomes_a_small_number(wanted: float, small: int) -> None:
    demo = shipped("demo")
    evaluation = demo.evaluation.model_copy(update={"held_out": wanted})
    scaled = rehearsed(demo.model_copy(update={"evaluation": evaluation}), Size(), stand_ins(demo)).evaluation
    assert scaled.held_out == small
    assert scaled.held_out_max_new_tokens == Size().new_tokens


def test_every_section_is_found() -> None:
    study = shipped("yu2024_clusters")
    found = list(sections(study))
    assert study.other_embeddings["llama"] in found
    assert study.selection.variants["kmq_64"] in found
    assert all(task in found for task in study.evaluation.tasks)
