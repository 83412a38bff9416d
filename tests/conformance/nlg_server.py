"""A small NLG server: says a case's `nlg` responses, with the slots, the arguments and the channel filled in.

nlg:
  utter_greet: {text: "Hello {name} on {channel}, {id}", buttons: […]}
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@contextlib.contextmanager
def nlg_server(responses: Mapping[str, Any] | None) -> Iterator[str | None]:
    """Its address while it runs; None when there is nothing to say."""
    if not responses:
        yield None
        return

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = json.dumps(said(responses, question)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/nlg"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


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
