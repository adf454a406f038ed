from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from edsel_assets.llm import EndpointEmbedder, SentenceEmbedder
from edsel_assets.llm.reading.endpoints import EmbeddingError
from edsel_assets.stages.kept_rows import PoolEmbeddings
from edsel_assets.store import Home
from edsel_assets_tests.llm import tiny


def vector(text: str) -> list[float]:
    return [float(len(text)), float(sum(map(ord, text)) % 97), 0.5]


class Server:
    """Embeds on 127.0.0.1 in both formats; ``failures`` are (status, headers) to answer with first."""

    def __init__(self) -> None:
        self.requests: list[dict] = []
        self.keys: list[str | None] = []
        self.failures: list[tuple[int, dict[str, str]]] = []
        self.answer = None
        self.before = ""  # what a refusal says before it repeats the key
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                owner.requests.append({"path": self.path, **body})
                owner.keys.append(self.headers.get("Authorization"))
                status, headers = owner.failures.pop(0) if owner.failures else (200, {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                said = f"{owner.before}refused {self.headers.get('Authorization')}"
                self.wfile.write((owner.reply(self.path, body) if status == 200 else said).encode())

            def log_message(self, *arguments) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def reply(self, path: str, body: dict) -> str:
        if self.answer is not None:
            return self.answer
        if path == "/v2/embed":
            return json.dumps({"embeddings": {"float": [vector(t) for t in body["texts"]]}})
        rows = [{"index": i, "embedding": vector(t)} for i, t in enumerate(body["input"])]
        return json.dumps({"data": rows[::-1]})  # order is by index, not by place


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


TEXTS = [f"text {'x' * i}" for i in range(11)]
WANTED = np.array([vector(text) for text in TEXTS], dtype=np.float32)


def embedder(server, provider="openai", **changes):
    return EndpointEmbedder(provider, "small", base_url=server.url, **{"batch_size": 4, **changes})


@pytest.mark.parametrize(("provider", "path"), [("openai", "/embeddings"), ("cohere", "/v2/embed")])
def test_batches_come_back_in_order(server, monkeypatch, provider, path) -> None:
    monkeypatch.setenv("MY_KEY", "secret-of-mine")
    batches = list(embedder(server, provider, key_variable="MY_KEY").embed(TEXTS))
    assert [batch.shape for batch in batches] == [(4, 3), (4, 3), (3, 3)]
    assert batches[0].dtype == np.float32
    np.testing.assert_array_equal(np.concatenate(batches), WANTED)
    assert {request["path"] for request in server.requests} == {path}
    assert {request["model"] for request in server.requests} == {"small"}
    assert set(server.keys) == {"Bearer secret-of-mine"}


@pytest.mark.parametrize("provider", ["openai", "cohere"])
def test_passing_failures_are_retried_with_growing_pauses(server, monkeypatch, provider) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("COHERE_API_KEY", raising=False)
    server.failures = [(503, {}), (429, {"Retry-After": "7"}), (500, {})]
    pauses: list[float] = []
    found = np.concatenate(list(embedder(server, provider, sleep=pauses.append).embed(TEXTS)))
    np.testing.assert_array_equal(found, WANTED)
    assert len(server.requests) == 3 + 3
    assert set(server.keys) == {None}  # a server of one's own that needs no key gets none
    assert len(pauses) == 3
    assert 0.5 <= pauses[0] <= 1.0  # 0.5 and up to 0.5 of jitter
    assert pauses[1] == 7.0  # as the server asks
    assert 2.0 <= pauses[2] <= 2.5  # 0.5 x 2^2


def test_it_gives_up_in_the_end(server) -> None:
    server.failures = [(503, {})] * 9
    with pytest.raises(EmbeddingError, match="answers 503; given up after 3 tries"):
        list(embedder(server, attempts=3, sleep=lambda seconds: None).embed(TEXTS))
    assert len(server.requests) == 3


def test_an_unreachable_server_is_named() -> None:
    made = EndpointEmbedder(
        "openai", "small", base_url="http://127.0.0.1:9", attempts=2, sleep=lambda seconds: None
    )
    with pytest.raises(EmbeddingError, match="cannot be reached"):
        list(made.embed(["a"]))


def test_a_wrong_request_fails_at_once_and_hides_the_key(server, monkeypatch) -> None:
    monkeypatch.setenv("MY_KEY", "secret-of-mine")
    server.failures = [(401, {})]
    with pytest.raises(EmbeddingError, match="answers 401: refused") as caught:
        list(embedder(server, key_variable="MY_KEY").embed(TEXTS))
    assert "secret-of-mine" not in str(caught.value)
    assert len(server.requests) == 1


@pytest.mark.parametrize("provider", ["openai", "cohere"])
def test_a_refusal_that_is_cut_at_the_key_shows_no_part_of_it(server, monkeypatch, provider) -> None:
    monkeypatch.setenv("MY_KEY", "secret-of-mine")
    server.failures, server.before = [(401, {})], "x" * (300 - len("refused Bearer secret"))
    with pytest.raises(EmbeddingError, match="answers 401: x") as caught:
        list(embedder(server, provider, key_variable="MY_KEY").embed(TEXTS))
    said = str(caught.getrepr(style="long", showlocals=True)) + repr(caught.value.__cause__)
    assert "secret" not in str(caught.value)
    assert "secret-of-mine" not in said.replace('"secret-of-mine"', "")  # which stands in this test's source


@pytest.mark.parametrize(
    ("provider", "variable"), [("openai", "OPENAI_API_KEY"), ("cohere", "COHERE_API_KEY")]
)
def test_a_providers_key_goes_to_no_other_server(server, monkeypatch, provider, variable) -> None:
    monkeypatch.setenv(variable, "secret-of-mine")
    list(embedder(server, provider).embed(["a"]))
    list(embedder(server, provider, key_variable=variable).embed(["a"]))
    assert server.keys == [None, "Bearer secret-of-mine"]


def test_requests_keep_to_the_rate(server) -> None:
    now = [100.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    made = embedder(server, requests_per_minute=30, sleep=sleep, clock=lambda: now[0])
    list(made.embed(TEXTS))
    assert now[0] == pytest.approx(100.0 + 2 * 2.0)  # three requests, two seconds apart


@pytest.mark.parametrize(
    "answer",
    [
        "no json",
        '{"data": []}',
        '{"wrong": 1}',
        '{"data": [{"index": 0, "embedding": 1}]}',
        '{"data": [{"index": 1, "embedding": [1]}]}',
        '{"data": ' + "[" * 100_000,
        '{"data": [{"index": 0, "embedding": [N]}], "embeddings": {"float": [[N]]}}'.replace("N", "9" * 400),
        " " * (2**20 + 2**18 + 1),
    ],
)
@pytest.mark.parametrize("provider", ["openai", "cohere"])
def test_an_answer_of_the_wrong_form_is_refused(server, answer, provider) -> None:
    server.answer = answer
    with pytest.raises(EmbeddingError, match="answer"):
        list(embedder(server, provider).embed(["a"]))


def test_a_missing_key_is_named(monkeypatch) -> None:
    monkeypatch.delenv("COHERE_API_KEY", raising=False)
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(EmbeddingError, match="COHERE_API_KEY"):
        EndpointEmbedder("cohere", "small")
    with pytest.raises(EmbeddingError, match="MY_KEY"):
        EndpointEmbedder("cohere", "small", base_url="http://127.0.0.1:9", key_variable="MY_KEY")
    with pytest.raises(ValueError, match="96 texts"):
        EndpointEmbedder("cohere", "small", base_url="http://127.0.0.1:9", batch_size=97)


def test_embeddings_are_kept_and_only_new_texts_are_asked_for(server, tmp_path) -> None:
    ids = [f"id{i}" for i in range(11)]
    rows = PoolEmbeddings(Home.at(tmp_path), {"provider": "openai", "model": "small"})

    def count(n: int):
        return rows.compute(ids[:n], TEXTS[:n], open_embedder=lambda: embedder(server), shard_rows=5)

    assert (count(6).rows_new, len(server.requests)) == (6, 3)  # shards of 5 and 1: requests of 4, 1, 1
    done = count(11)
    assert (done.rows_new, done.rows_reused) == (5, 6)
    np.testing.assert_array_equal(rows.embeddings(ids[::-1]), WANTED[::-1])
    asked = [text for request in server.requests for text in request["input"]]
    assert sorted(asked) == sorted(TEXTS)
    other = PoolEmbeddings(Home.at(tmp_path), {"provider": "openai", "model": "large"})
    assert other.compute(ids, TEXTS, open_embedder=lambda: embedder(server)).rows_new == 11


def test_a_sentence_model_from_a_directory(tmp_path) -> None:
    transformers = pytest.importorskip("sentence_transformers")
    from transformers import BertConfig, BertModel

    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=tiny.VOCABULARY,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(tmp_path / "bert")
    tiny.tokenizer().save_pretrained(tmp_path / "bert")
    whole = transformers.SentenceTransformer(str(tmp_path / "bert"), device="cpu")
    whole.save(str(tmp_path / "sentence"))
    made = SentenceEmbedder(tmp_path / "sentence", batch_size=2, device="cpu")
    texts = ["hello", "a much longer text", "abc"] * 12
    batches = list(made.embed(texts))
    assert [len(batch) for batch in batches] == [32, 4]
    found = np.concatenate(batches)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[:3], whole.encode(texts[:3]), atol=1e-5)
    unit = np.concatenate(
        list(SentenceEmbedder(tmp_path / "sentence", device="cpu", normalise=True).embed(texts))
    )
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1.0, atol=1e-5)
    with pytest.raises(EmbeddingError, match="cannot be loaded"):
        SentenceEmbedder(tmp_path / "nowhere")
