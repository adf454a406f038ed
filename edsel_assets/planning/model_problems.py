"""What can be known of a model before it is loaded: its folder, the hub's cache, the names of its layers."""

import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from edsel_assets.machine import has_gpu
from edsel_assets.planning import external
from edsel_assets.study import Study

_NEEDED = ("config.json", "tokenizer_config.json")
_LISTED = 12


def base_model_problems(study: Study) -> Iterator[str]:
    """The study's base model, and the device that it is to be on."""
    yield from model_problems("model.path", study.model.path, study.model.revision, _NEEDED)
    if study.model.device.startswith("cuda") and not has_gpu():
        yield f"model.device: {study.model.device}, but PyTorch has no NVIDIA GPU here. Set auto or cpu."


def selecting_model_problems(study: Study) -> Iterator[str]:
    """The model that selects, where trials train another."""
    chosen = study.selecting.model
    yield from model_problems("selection.model.path", chosen.path, chosen.revision, _NEEDED)


def model_problems(place: str, name: str, revision: str | None, needed: Sequence[str]) -> Iterator[str]:
    """A model that cannot be loaded.

    Args:
        place: the setting that names it.
        needed: files that its folder must have.
    """
    folder = Path(external.model_folder(name))
    if folder.is_dir():
        for file in needed:
            if not (folder / file).is_file():
                yield f"{place}: {folder} has no {file}. Name the folder of a whole model."
            elif _json_object(folder / file) is None:
                yield f"{place}: {folder / file} is not a JSON object. Copy the model's own file again."
    elif "/" not in name or name.startswith((".", "/", "~")):
        yield f"{place}: there is no folder {name}; a model of the hub is named OWNER/NAME."
    elif _is_offline() and not _is_cached(name, revision):
        yield (
            f"{place}: {name} is not in the hub's local cache, and HF_HUB_OFFLINE forbids a "
            "download. Unset that for once, or name a folder."
        )


def target_problems(study: Study) -> Iterator[str]:
    """Layers for an adapter that the base model does not have; told where its weights lie in a folder."""
    wanted, layers = study.finetuning.target_modules, _layers(Path(external.model_path(study)))
    if isinstance(wanted, str) or not layers or study.finetuning.method == "full":
        return  # a pattern is matched by peft
    for name in wanted:
        if not any(layer == name or layer.endswith(f".{name}") for layer in layers):
            known = sorted({layer.rpartition(".")[2] for layer in layers})
            some = ", ".join(known[:_LISTED])
            yield f"finetuning.target_modules: the model has no layer {name}. Name some of {some}."


def answer_problems(study: Study) -> Iterator[str]:
    """Answers to held-out prompts that do not fit the base model; told where it lies in a folder."""
    if not study.evaluation.held_out_answers:
        return
    room, longest = positions(study), study.evaluation.held_out_max_new_tokens
    if room is not None and longest >= room:
        yield (
            f"evaluation.held_out_max_new_tokens: {longest} leaves no room for a prompt in the model's "
            f"{room} positions. Lower it."
        )


def positions(study: Study) -> int | None:
    """Tokens of prompt and answer that the base model has room for; told where it lies in a folder."""
    config = _json_object(Path(external.model_path(study)) / "config.json") or {}
    names = ("max_position_embeddings", "n_positions", "max_seq_len")
    found = [part.get(name) for part in (config.get("text_config") or config, config) for name in names]
    return next((limit for limit in found if isinstance(limit, int) and limit > 0), None)


def _json_object(file: Path) -> dict[str, Any] | None:
    """What a file holds; None where it is not there, or not a JSON object."""
    try:
        content = json.loads(file.read_bytes()) if file.is_file() else None
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def _layers(folder: Path) -> Collection[str]:
    """Names of the layers with weights of their own, by the headers of the files."""
    import safetensors

    found: set[str] = set()
    for file in sorted(folder.glob("*.safetensors")):
        with safetensors.safe_open(file, framework="np") as opened:
            found.update(key.removesuffix(".weight") for key in opened.keys() if key.endswith(".weight"))  # noqa: SIM118
    return found


def _is_offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _is_cached(name: str, revision: str | None) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(name, "config.json", revision=revision), str)
