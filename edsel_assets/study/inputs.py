"""The pool and the base model, and how the model reads the pool."""

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from edsel_assets.demo import DEMO
from edsel_assets.study.base import Address, Few, Positive, Seed, Settings, Tokens

#: Suffixes of files that embeddings are read from.
EMBEDDING_FILES = (".npy", ".parquet", ".safetensors")
#: How files of prompts are written; ``auto`` goes by their suffix.
PoolFormat = Literal["auto", "parquet", "arrow", "jsonl", "json", "csv", "hf"]


class PoolSettings(Settings):
    """Where the prompts come from."""

    path: str | list[str] = Field(
        DEMO, description="File, glob, folder, list of them, data set name, or builtin:demo."
    )
    format: PoolFormat = "auto"
    columns: dict[
        Literal["prompt", "context", "response", "task", "source", "price", "quality", "complexity"], str
    ] = Field(default_factory=dict, description="Our column name to the file's column name.")
    split: str = Field("train", description="Split, where the source is a data set.")
    revision: str | None = Field(None, description="Revision of a hub data set.")
    limit: Positive | None = Field(None, description="Keep this many prompts, sampled by hash.")
    seed: Seed = Field(0, description="Seed of that sample.")
    annotations: str | None = Field(None, description="File of prompts annotated already.")
    annotated_only: bool = Field(
        False, description="Leave out prompts without a response: for studies on data annotated already."
    )
    max_characters: Positive | None = Field(
        None,
        description="Leave out longer prompts, such as those that finetuning.max_length has no room for.",
    )


class ModelSettings(Settings):
    """The base model."""

    path: str = Field(DEMO, description="Local directory, model name, or builtin:demo.")
    revision: str | None = Field(None, description="Revision of a model of the hub.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="Number format of the weights; auto: as stored on a GPU, what is fast on a CPU.",
    )
    device: str = Field(
        "auto", pattern=r"^(auto|cpu|mps|(cuda|xpu)(:[0-9]+)?)$", description="auto, cpu, cuda, cuda:1, ..."
    )
    device_map: Literal["balanced"] | None = Field(
        None, description="balanced: layers spread over all GPUs, for a model larger than one."
    )
    threads: Few | None = Field(
        None, description="CPU threads of the model; fixed, results do not depend on the machine's cores."
    )
    trust_remote_code: bool = Field(
        False, description="Run code shipped with the model. Off unless asked for."
    )
    template: str = Field(
        "<|user|>\n{prompt}\n<|assistant|>\n", description="How a prompt is put to the model (open-instruct)."
    )

    @field_validator("template")
    @classmethod
    def _one_prompt(cls, template: str) -> str:
        if template.count("{prompt}") != 1:
            raise ValueError(f"must contain {{prompt}} exactly once; got {template!r}")
        return template


class ForwardSettings(Settings):
    """The one forward pass over the pool."""

    max_new_tokens: Tokens = Field(64, description="Greedy decoding steps per prompt (L), at most.")
    max_prompt_tokens: Tokens = Field(1024, description="Longer prompts are cut from the left and counted.")
    batch_tokens: Positive = Field(16_384, description="Tokens read at once; halved when memory runs out.")
    pooling: Literal["last", "mean"] = Field("last", description="Which hidden state is the embedding.")
    shard_rows: Positive = Field(1_024, description="Prompts per shard: what a killed run can lose.")


class EmbeddingSettings(Settings):
    """What the embeddings are computed from, and by what."""

    source: Literal["model", "sentence_transformers", "openai", "cohere", "file"] = "model"
    name: str | None = Field(None, description="Embedding model, where source is not the base model.")
    path: str | None = Field(None, description="File of embeddings: .npy, .parquet or .safetensors.")
    column: str = Field("embedding", description="Column of the embeddings in a Parquet file.")
    align: Literal["auto", "prompt_id", "row"] = Field(
        "auto",
        description="How a file's embeddings belong to prompts; auto: by prompt_id where the file has it, "
        "else by the row of the pool's files.",
    )
    revision: str | None = None
    base_url: Address | None = Field(None, description="Endpoint of an OpenAI- or Cohere-compatible server.")
    key_variable: str | None = Field(None, description="Environment variable that holds the key.")
    batch_size: Positive = 64
    requests_per_minute: Positive | None = None
    input: Literal["prompt", "prompt_response"] = Field(
        "prompt",
        description="Responses do not exist before annotation; prompt_response is Yu et al.'s choice.",
    )
    transform: Literal["none", "centre", "whiten"] = Field(
        "centre",
        description="Done before anything is compared: take the pool's mean off, or whiten as well. Rows "
        "then have unit length, and thresholds are on this scale.",
    )
    dimensions: Positive = Field(64, description="Dimensions that whitening keeps, at most.")

    @model_validator(mode="after")
    def _named(self) -> "EmbeddingSettings":
        if self.source == "file":
            if self.path is None or Path(self.path).suffix not in EMBEDDING_FILES:
                raise ValueError(
                    f"embeddings.path is needed with source 'file', a file of {', '.join(EMBEDDING_FILES)}; "
                    f"got {self.path!r}"
                )
        elif self.source != "model" and not self.name:
            raise ValueError(f"embeddings.name is needed with source {self.source!r}")
        return self
