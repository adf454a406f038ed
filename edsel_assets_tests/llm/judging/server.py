"""Servers on 127.0.0.1 that speak OpenAI's chat protocol: one that runs a model, and one that misbehaves."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch

Answer = tuple[int, dict[str, str], str]  # status, headers, body


class ChatServer:
    """Answers by ``answer(body)``; ``script`` holds what to answer first. Keeps what it was asked."""

    def __init__(self, answer: Callable[[dict[str, Any]], str]) -> None:
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.at: list[float] = []
        self.script: list[Answer | float] = []  # a number: so many seconds of silence
        self.at_once = self.most_at_once = 0
        owner, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    owner.asked.append({"path": self.path, **body})
                    owner.keys.append(self.headers.get("Authorization"))
                    owner.at.append(time.monotonic())
                    owner.at_once += 1
                    owner.most_at_once = max(owner.most_at_once, owner.at_once)
                    next_one = owner.script.pop(0) if owner.script else None
                try:
                    self.say(next_one, body)
                finally:
                    with lock:
                        owner.at_once -= 1

            def say(self, scripted: Answer | float | None, body: dict[str, Any]) -> None:
                if isinstance(scripted, float):
                    time.sleep(scripted)
                    self.close_connection = True
                    return
                status, headers, text = scripted or (200, {}, answer(body))
                said = text.replace("{key}", self.headers.get("Authorization") or "")
                data = said.encode("utf-8", "surrogateescape")  # half a pair stands for a byte of no UTF-8
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *arguments: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@contextmanager
def serving(answer: Callable[[dict[str, Any]], str]) -> Iterator[ChatServer]:
    server = ChatServer(answer)
    try:
        yield server
    finally:
        server.http.shutdown()
        server.http.server_close()


def completion(
    text: str, logprobs: list[dict[str, float]] | None = None, prompt: int = 10, tokens: int = 5
) -> str:
    """A chat completion's body. ``logprobs``: per token the likeliest ones, the chosen one first."""
    content = None
    if logprobs is not None:
        content = [
            {
                "token": next(iter(place)),
                "logprob": next(iter(place.values())),
                "top_logprobs": [{"token": token, "logprob": log} for token, log in place.items()],
            }
            for place in logprobs
        ]
    return json.dumps(
        {
            "id": "1",
            "object": "chat.completion",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": text},
                    "finish_reason": "stop",
                    "logprobs": None if content is None else {"content": content},
                }
            ],
            "usage": {"prompt_tokens": prompt, "completion_tokens": tokens},
        }
    )


def by_model(model: Any, tokenizer: Any, template: str) -> Callable[[dict[str, Any]], str]:
    """Answers as ``model`` would: greedy, token by token, the whole text read anew for each."""

    @torch.inference_mode()
    def answer(body: dict[str, Any]) -> str:
        text = template.replace("{prompt}", body["messages"][-1]["content"])
        ids = tokenizer(text)["input_ids"]
        start, places = len(ids), []
        for _ in range(body["max_tokens"]):
            log_p = torch.log_softmax(model(torch.tensor([ids])).logits[0, -1].double(), -1)
            top = log_p.topk(body.get("top_logprobs", 1))
            places.append(
                {
                    tokenizer.decode([token]): log
                    for log, token in zip(top.values.tolist(), top.indices.tolist(), strict=True)
                }
            )
            ids.append(int(log_p.argmax()))
            if ids[-1] == tokenizer.eos_token_id:
                break
        said = tokenizer.decode(ids[start:], skip_special_tokens=True)
        return completion(said, places if body.get("logprobs") else None, start, len(ids) - start)

    return answer
