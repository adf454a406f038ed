"""A causal model as lm-eval sees one: log-likelihoods and answers, by the engine that reads the pool.

Against lm-eval's own adapter for transformers: texts are tokenized in one call, batches hold a budget of
tokens over sorted lengths, choices that share a context read it once, and the head runs only on the
positions that are scored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from lm_eval import utils
from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import normalize_gen_kwargs, postprocess_generated_text

from edsel_assets.machine import free_memory

from ..models.split import SplitModel
from ..models.templates import check_template, trained_conversation
from ..models.tokens import end_tokens, max_positions
from ..reading.batching import TokenBudget, in_batches
from ..reading.comparison import way_of
from ..reading.decode import DecodeSettings, read_and_decode
from ..reading.sampling import sampling_draws
from .decoding import check_decoding
from .request_rows import Pair, request_rows, score_rows

DEFAULT_LENGTH = 2048


class EngineLM(TemplateLM):
    """lm-eval's interface over ``model`` and ``tokenizer``; ``max_length`` in tokens, else the model's.

    Equal to lm-eval's ``HFLM`` up to rounding: same tokens, same truncation from the left, same stops. For a
    model in lower precision logits come from float32 products of the head, where ``HFLM`` rounds them.
    With a ``template`` conversations are written as examples are trained on.
    Answers are sampled only by temperature; a task that asks for another way to decode is refused.
    ``progress`` is called with (requests done, requests of that kind).
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        batch_tokens: int,
        max_length: int | None = None,
        seed: int = 0,
        template: str | None = None,
        progress: Callable[[int, int], None] | None = None,
    ):
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.max_length = max_length or max_positions(model) or DEFAULT_LENGTH
        self._split = SplitModel(model)
        self._way = way_of(self._split)
        self._budget = TokenBudget(batch_tokens)
        self._seed = seed
        self._template = None if template is None else check_template(template)
        self._progress = progress or (lambda done, total: None)

    @property
    def eot_token_id(self) -> int:
        return self.tokenizer.eos_token_id

    @property
    def prefix_token_id(self) -> int:
        bos = self.tokenizer.bos_token_id
        return self.tokenizer.eos_token_id if bos is None else bos

    @property
    def tokenizer_name(self) -> str:
        return str(self.tokenizer.name_or_path).replace("/", "__")

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """The template of conversations; None where none is wanted."""
        return (self._template or self.tokenizer.get_chat_template()) if chat_template else None

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """The conversation as one text; a template that has no system role is given none."""
        from jinja2.exceptions import TemplateError

        if self._template is not None:
            return trained_conversation(
                self._template, chat_history, self.tokenizer.eos_token or "", add_generation_prompt
            )

        def text(history: list[dict[str, str]]) -> str:
            return self.tokenizer.apply_chat_template(
                history,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=not add_generation_prompt,
            )

        try:
            return text(chat_history)
        except TemplateError:
            return text([message for message in chat_history if message["role"] != "system"])

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        return self._encode([string], add_special_tokens)[0]

    def _encode(self, texts: list[str], add_special_tokens: bool | None = None) -> list[list[int]]:
        """Tokens of each text; a text that brings its own start token gets no second one."""
        if not texts:
            return []
        if add_special_tokens is not None:
            return self.tokenizer(texts, add_special_tokens=add_special_tokens)["input_ids"]
        prefix = self.tokenizer.decode(self.prefix_token_id)
        rows = self.tokenizer(texts)["input_ids"]
        for number, text in enumerate(texts):
            if text.startswith(prefix):
                rows[number] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return rows

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """(log p(continuation | context), whether it is the greedy one) per request."""
        contexts, texts = [], []
        for context, continuation in (request.args for request in requests):
            spaces = len(context) - len(context.rstrip()) if context else 0
            contexts.append(context[: len(context) - spaces])
            texts.append(context + continuation)
        names = [request.args[0] for request in requests]
        unique = list(dict.fromkeys(contexts))
        encoded = dict(zip(unique, self._encode(unique), strict=True))
        pairs: list[Pair] = []
        for context, text, tokens in zip(contexts, texts, self._encode(texts), strict=True):
            if context:
                head = encoded[context]
                pairs.append((head, tokens[len(head) :]))
            else:
                pairs.append(self._without_context(text))
        return self._score(names, pairs)

    def _without_context(self, text: str) -> Pair:
        tokens = self._encode([text], add_special_tokens=False)[0]
        if tokens[:1] == [self.prefix_token_id]:
            return tokens[:1], tokens[1:]
        return [self.prefix_token_id], tokens

    def _loglikelihood_tokens(self, requests: list[Any], **kwargs: Any) -> list[tuple[float, bool]]:
        return self._score([text for text, _, _ in requests], [(head, tail) for _, head, tail in requests])

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        """log p of each whole text, in disjoint windows with as much context as fits."""
        owners, pairs = [], []
        for number, (text,) in enumerate(request.args for request in requests):
            windows = utils.get_rolling_token_windows(
                token_list=self.tok_encode(text),
                prefix_token=self.prefix_token_id,
                max_seq_len=self.max_length,
                context_len=1,
            )
            for window in windows:
                owners.append(number)
                pairs.append(utils.make_disjoint_window(window))
        totals = [0.0] * len(requests)
        for owner, (value, _) in zip(owners, self._score(list(range(len(pairs))), pairs), strict=True):
            totals[owner] += value
        return totals

    def _score(self, contexts: Sequence[Any], pairs: list[Pair]) -> list[tuple[float, bool]]:
        rows = list(request_rows(contexts, pairs, self.max_length, self._shares_contexts()))
        answers: list[tuple[float, bool]] = [(0.0, False)] * len(pairs)
        done = 0

        def process(numbers: np.ndarray, _: int) -> list[tuple[int, float, bool]]:
            return score_rows(self._split, [rows[number] for number in numbers])

        lengths = np.array([len(row.tokens) for row in rows], dtype=np.int64)
        for _, results in in_batches(
            lengths, self._budget, 1, self._split.workers, process, self._way.longest
        ):
            for request, value, greedy in results:
                answers[request] = (value, greedy)
            done += len(results)
            self._progress(done, len(pairs))
        return answers

    def _shares_contexts(self) -> bool:
        """Whether this model's attention takes a mask of our own, which keeps choices of one row apart."""
        config = self._split.model.config.get_text_config(decoder=True)
        kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
        window = getattr(config, "sliding_window", None) if kinds != {"full_attention"} else None
        if kinds == {"full_attention"} and getattr(config, "layer_types", None) is None:
            window = getattr(config, "sliding_window", None)
        return self._way.branched and (window is None or window >= self.max_length)

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """The answer to each context, up to the first of its stop strings."""
        answers = [""] * len(requests)
        done = 0
        kinds: dict[str, list[int]] = {}
        for number, request in enumerate(requests):
            kinds.setdefault(repr(sorted(request.args[1].items())), []).append(number)
        for numbers in kinds.values():
            contexts = [requests[number].args[0] for number in numbers]
            for number, text in self._generate(contexts, requests[numbers[0]].args[1]):
                answers[numbers[number]] = text
                done += 1
                self._progress(done, len(requests))
        return answers

    def _generate(self, contexts: list[str], wanted: dict[str, Any]) -> Iterator[tuple[int, str]]:
        settings: dict[str, Any] = dict(normalize_gen_kwargs(wanted))
        check_decoding(settings, self.max_length)
        steps = settings["max_gen_toks"]
        stops = tuple(text for text in settings["until"] if text)
        ends = sorted({*end_tokens(self.model, self.tokenizer), *_tokens_with(self.tokenizer, stops)})
        ids = [np.asarray(row[steps - self.max_length :], dtype=np.int64) for row in self._encode(contexts)]
        temperature = float(settings.get("temperature") or 0.0)
        sampler = sampling_draws(contexts, self._seed, steps) if temperature > 0 else None
        plan = DecodeSettings(steps, ends, None, False, temperature, sampler)

        def process(numbers: np.ndarray, tokens: int) -> Any:
            return read_and_decode(self._split, self._way, ids, numbers, tokens, plan)

        lengths = np.array([len(row) for row in ids], dtype=np.int64) + steps
        free = free_memory(self._split.device)
        self._budget.tokens, multiple = self._way.fitting(self._budget.tokens, free)
        for numbers, batch in in_batches(
            lengths, self._budget, multiple, self._split.workers, process, self._way.longest
        ):
            for place, number in enumerate(numbers):
                tokens = batch.steps["token_id"][place, : batch.counts[place]]
                text = self.tokenizer.decode(tokens, skip_special_tokens=True)
                yield int(number), postprocess_generated_text(text, list(stops), None)


@lru_cache(maxsize=8)
def _tokens_with(tokenizer: Any, stops: tuple[str, ...]) -> list[int]:
    """Tokens whose text holds a stop string: an answer that takes one is over."""
    texts = tokenizer.batch_decode([[token] for token in range(len(tokenizer))], skip_special_tokens=True)
    return [token for token, text in enumerate(texts) if any(stop in text for stop in stops)]
