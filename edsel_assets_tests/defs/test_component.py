"""The component: a study in a project of Dagster's own making, by YAML."""

import subprocess
import sys
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster.components.core.package_entry import get_package_objects_in_module
from dagster.components.testing import create_defs_folder_sandbox

import edsel_assets
from edsel_assets_tests.defs.conftest import TINY

ATTRIBUTES = {"study": "tiny.yaml", "prefix": "mine"}


def built(attributes: dict[str, Any] | None) -> dg.Definitions:
    """Definitions of a project with one ``defs.yaml`` and a study's file beside it."""
    with create_defs_folder_sandbox() as sandbox:
        path = sandbox.scaffold_component(component_cls=edsel_assets.EdselStudy, defs_path="prompts")
        (path / "tiny.yaml").write_text(yaml.safe_dump(TINY), encoding="utf-8")
        if attributes is not None:
            content = {"type": "edsel_assets.EdselStudy", "attributes": attributes}
            (path / "defs.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        with sandbox.load_component_and_build_defs(defs_path=path) as (component, definitions):
            assert isinstance(component, edsel_assets.EdselStudy)
            return definitions


def test_a_study_beside_its_defs_yaml_is_loaded_under_its_prefix() -> None:
    definitions = built(ATTRIBUTES)
    keys = {key.to_user_string() for key in definitions.resolve_asset_graph().get_all_asset_keys()}
    assert {"mine/pool", "mine/selections", "mine/round_1/selection"} <= keys
    assert all(key.startswith("mine/") for key in keys)
    budgets = definitions.get_assets_def(dg.AssetKey(["mine", "rankings"])).partitions_def
    assert budgets is not None
    assert set(budgets.get_partition_keys()) == set(TINY["selection"]["strategies"]) - {
        "iterative_kmq_perplexity"
    }


def test_what_is_scaffolded_loads_as_it_is() -> None:
    keys = built(None).resolve_asset_graph().get_all_asset_keys()
    assert dg.AssetKey(["prompts", "pool"]) in keys, "the demo, under the name of the folder"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"study": "absent.yaml"}, "absent.yaml"),
        ({"prefix": "two words"}, "prefix"),
        ({"budget": 3}, "budget"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011
        built({**ATTRIBUTES, **changes})
    error: BaseException | None = caught.value
    said = []
    while error is not None:
        said.append(str(error))
        error = error.__cause__
    assert reason in " ".join(said), "Dagster puts it below its own words"


def test_dg_finds_it_and_importing_the_package_imports_no_dagster() -> None:
    found = dict(get_package_objects_in_module(edsel_assets))
    assert found["EdselStudy"] is edsel_assets.EdselStudy
    code = "import sys, edsel_assets; print('dagster' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"
