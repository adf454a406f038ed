"""A judge of a rehearsal: a server on this machine that speaks OpenAI's protocol and decides by a hash.

It thinks nothing. It is there so that requests, replies, retries, prices and reports run as with a real one.
"""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import log
from typing import Any

_SCALE = 10


@contextmanager
def judge_server() -> Iterator[str]:
    """Address of a judge, which ends with the block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Judge)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The chat completion: a rating where one is asked for, else which of the two labels.

    Ratings are 1 to 10 and preferences 0.05 to 0.95, both by a hash of what was asked.
    """
    asked = str(request["messages"][-1]["content"])
    drawn = zlib.crc32(asked.encode())
    choice: dict[str, Any] = {"index": 0, "finish_reason": "stop"}
    if "[[rating]]" in asked:
        text = f"Rating: [[{drawn % _SCALE + 1}]]"
    else:
        first = 0.05 + 0.9 * (drawn % 1000) / 999
        likely = {"m": log(first), "M": log(1 - first)}
        text = max(likely, key=likely.__getitem__)
        if request.get("logprobs"):
            top = [{"token": token, "logprob": value, "bytes": None} for token, value in likely.items()]
            place = {"token": text, "logprob": likely[text], "bytes": None, "top_logprobs": top}
            choice["logprobs"] = {"content": [place]}
    choice["message"] = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": len(asked) // 4 + 1, "completion_tokens": len(text) // 4 + 1}
    return {
        "id": f"rehearsal-{drawn}",
        "object": "chat.completion",
        "created": 0,
        "model": request.get("model", "rehearsal"),
        "choices": [choice],
        "usage": {**usage, "total_tokens": sum(usage.values())},
    }


class _Judge(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        reply = json.dumps(answer(json.loads(body))).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal is for progress."""
