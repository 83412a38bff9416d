"""A small NLG server: says a case's `nlg` responses, with the slots, the arguments and the channel filled in.

    nlg:
      utter_greet: {text: "Hello {name} on {channel}, {id}", buttons: […]}

A process of its own, as with a real one: it reads the responses from its input and writes its port.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

RESPONSES: dict[str, Any] = {}


@contextlib.contextmanager
def nlg_server(responses: Mapping[str, Any] | None) -> Iterator[str | None]:
    """Its address while it runs; None when there is nothing to say."""
    if not responses:
        yield None
        return
    with subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(responses).encode() + b"\n")
        server.stdin.flush()
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}/nlg"
        finally:
            server.terminate()


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections may stay open
    wbufsize = -1  # head and body in one packet

    def do_POST(self) -> None:
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = json.dumps(said(RESPONSES, question)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def said(responses: Mapping[str, Any], question: Mapping[str, Any]) -> dict[str, Any]:
    """The server's answer to one question in Rasa's form."""
    response = dict(responses.get(question["response"]) or {"text": "Nothing to say for {response}"})
    tracker = question["tracker"]
    values = {
        **tracker["slots"],
        **question["arguments"],
        "id": question["id"],
        "response": question["response"],
        "channel": question["channel"]["name"],
        "latest": tracker["latest_message"]["text"],
    }
    response["text"] = response["text"].format(**values)
    return response


if __name__ == "__main__":
    RESPONSES.update(json.loads(sys.stdin.readline()))
    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        print(server.server_port, flush=True)
        server.serve_forever()
