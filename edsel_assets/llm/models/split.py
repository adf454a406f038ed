"""A causal language model cut in two: the layers that give hidden states, and the head that gives logits.

The head of a large vocabulary is the widest matrix of all. Cut off, it runs only where logits are needed,
and in float32 whatever the model's dtype.
"""

from __future__ import annotations

import copy
from typing import Any

import torch

from .tokens import check_rows
from .weights import ModelError


class SplitModel:
    """The layers of a model, ``hidden``, apart from its head, ``logits``.

    Make one per pass over the data, not one per batch: a model in lower precision has its head copied to
    float32, which takes 4 x V x d bytes (V tokens in the vocabulary, d the hidden size: 0.5 GB for
    32,000 x 4,096) for as long as this object lives. A float32 head is shared.

    In bfloat16 the product of the head has 8 significant bits, so that the two largest logits are often
    exactly equal; products in float32 of the same numbers keep them apart.
    """

    def __init__(self, model: Any):
        model = model.get_base_model() if hasattr(model, "peft_config") else model
        head = model.get_output_embeddings()
        layers = model.base_model if model.base_model is not model else getattr(model, "model", None)
        if head is None or layers is None:
            raise ModelError(f"{type(model).__name__} is no causal language model with an output head.")
        self.model = model
        self.layers = layers
        self.device: torch.device = head.weight.device
        self.vocabulary: int = head.weight.shape[0]
        self.rows: int = model.get_input_embeddings().weight.shape[0]
        self._head = head if head.weight.dtype == torch.float32 else copy.deepcopy(head).float()
        config = model.config.get_text_config(decoder=True)
        self._multiplier = float(getattr(config, "logit_scale", None) or 1.0)
        self._multiplier /= float(getattr(config, "logits_scaling", None) or 1.0)
        self._softcap: float | None = getattr(config, "final_logit_softcapping", None)
        self._check(head.weight.dtype)

    @property
    def workers(self) -> int:
        """How many threads may run the model at once: on a CPU as many as PyTorch may use.

        One where rotary positions follow the longest prompt seen, which is a state of the model.
        """
        if self.device.type != "cpu":
            return 1
        rotary = getattr(self.layers.config.get_text_config(decoder=True), "rope_parameters", None)
        kinds = str(rotary)
        return 1 if "dynamic" in kinds or "longrope" in kinds else torch.get_num_threads()

    def hidden(self, **inputs: Any) -> torch.Tensor:
        """(B, T, d) hidden states after the last norm; the arguments are those of transformers' models.

        Raises ``ValueError`` for a token that the model has no row for.
        """
        check_rows(int(inputs["input_ids"].max()), self.rows)
        return self.layers(**inputs).last_hidden_state.to(self.device)  # of a spread model: the last layer's

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """(..., d) hidden states to (..., V) logits: float32, from a product in float32."""
        logits = self._head(hidden.float())
        if self._multiplier != 1.0:
            logits *= self._multiplier
        if self._softcap is not None:
            logits = torch.tanh(logits / self._softcap) * self._softcap
        return logits

    def own_logits(self, ids: torch.Tensor) -> torch.Tensor:
        """(B, T, V) float32 logits of ``ids`` (B, T) as the model itself gives them."""
        try:
            return self.model(input_ids=ids, use_cache=False).logits.float()
        except Exception as error:  # foreign code, which may raise anything
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            name = type(self.model).__name__
            raise ModelError(f"{name} reads no text by itself ({reason}); it is not supported.") from error

    @torch.inference_mode()
    def _check(self, dtype: torch.dtype) -> None:
        """Compare with the model's own logits on three tokens, so that a head of another form is refused."""
        ids = torch.arange(3, device=self.device)[None] % self.vocabulary
        own = self.own_logits(ids)
        ours = self.logits(self.hidden(input_ids=ids, use_cache=False))
        scale = float(own.abs().max())
        tolerance = 1e-4 if dtype == torch.float32 else 2e-2
        if own.shape != ours.shape or float((own - ours).abs().max()) > tolerance * max(scale, 1e-6):
            raise ModelError(
                f"{type(self.model).__name__} does more to its logits than scaling and soft-capping; "
                "it is not supported."
            )
