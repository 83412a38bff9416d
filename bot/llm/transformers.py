"""A language model on this machine, through `transformers` and torch: no message leaves it."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bot.errors import LLMBadReply, LLMError, LLMTimeout
from bot.interfaces import ChatMessage, Completion

NEXT_SPEAKER = "\n\nUser:"
"""Where a model without a chat template begins to write the customer's part as well."""


class Transformers:
    """`model` is a folder (from the project's folder on) or a name that the machine's cache has; nothing is downloaded.

    The likeliest word follows each time, so the same messages get the same answer. One thread of its own
    takes one request after the other, on the GPU where there is one, else on `threads` cores (half of them,
    so that the others serve customers). It loads at the first question, which may be too late for that one.
    """

    def __init__(
        self, *, model: str, max_tokens: int = 400, threads: int | None = None, root: Path | None = None
    ) -> None:
        folder = (root or Path()) / model
        self._name = model
        self._place = str(folder) if folder.is_dir() else model
        self._max_tokens = max_tokens
        self._threads = threads or max(1, (os.cpu_count() or 1) // 2)
        self._model: Any = None
        self._tokenizer: Any = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="llm")

    async def complete(self, messages: Sequence[ChatMessage], *, deadline: float) -> Completion:
        enough = threading.Event()
        end = time.monotonic() + deadline
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(deadline):
                return await loop.run_in_executor(self._thread, self._generate, messages, end, enough, None)
        except TimeoutError:
            raise self._too_late() from None
        finally:
            enough.set()

    async def stream(self, messages: Sequence[ChatMessage], *, deadline: float) -> AsyncIterator[str]:
        """Piece by piece; that the answer was empty or cut off shows only at its end, as LLMBadReply."""
        enough = threading.Event()
        end = time.monotonic() + deadline
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[str | None] = asyncio.Queue()

        def say(piece: str | None) -> None:
            loop.call_soon_threadsafe(pieces.put_nowait, piece)

        def say_it_is_done(done: asyncio.Future[Completion]) -> None:
            if not done.cancelled():
                done.exception()  # counts as seen, should nobody be listening any more
            pieces.put_nowait(None)

        done = loop.run_in_executor(self._thread, self._generate, messages, end, enough, say)
        done.add_done_callback(say_it_is_done)
        try:
            while True:
                async with asyncio.timeout(end - time.monotonic()):
                    piece = await pieces.get()
                if piece is None:
                    break
                yield piece
            await done
        except TimeoutError:
            raise self._too_late() from None
        finally:
            enough.set()
            done.cancel()

    # ---- in the thread ----

    def _generate(
        self, messages: Sequence[ChatMessage], end: float, enough: threading.Event, say: Callable[[str], None] | None
    ) -> Completion:
        """The answer; `say` gets it piece by piece. Stops at `end` (of `time.monotonic`) or when there is `enough`."""
        if enough.is_set() or time.monotonic() > end:
            raise self._too_late()
        self._load()
        try:
            return self._write(messages, end, enough, say)
        except LLMError:
            raise
        except Exception as error:  # out of memory, or more text than the model can read
            raise LLMError(f"the language model '{self._name}' failed: {type(error).__name__}") from None

    def _write(
        self, messages: Sequence[ChatMessage], end: float, enough: threading.Event, say: Callable[[str], None] | None
    ) -> Completion:
        import torch

        prompt = self._prompt(messages).to(self._model.device)  # each (1, tokens)
        before = prompt["input_ids"].shape[1]
        said = ""

        def is_enough(ids: Any, scores: Any, **_: Any) -> Any:
            nonlocal said
            text = self._text(ids[0, before:])
            # Half a character shows as �: its other half is the next token.
            if say and text.startswith(said) and len(text) > len(said) and not text.endswith("�"):
                say(text[len(said) :])
                said = text
            stop = enough.is_set() or time.monotonic() > end or self._is_next_speaker(ids[0, before:])
            return torch.full((len(ids),), stop, dtype=torch.bool, device=ids.device)

        with torch.inference_mode():
            ids = self._model.generate(
                **prompt,
                max_new_tokens=self._max_tokens,
                do_sample=False,
                stopping_criteria=[is_enough],
                pad_token_id=self._tokenizer.pad_token_id or self._tokenizer.eos_token_id,
            )
        written = ids[0, before:]
        if time.monotonic() > end:
            raise self._too_late()
        text = self._text(written)
        if say and text.startswith(said) and len(text) > len(said):
            say(text[len(said) :])
        if not text.strip():
            raise LLMBadReply(f"the language model '{self._name}' gave an empty answer")
        if len(written) >= self._max_tokens and not self._is_next_speaker(written):
            raise LLMBadReply(f"the language model '{self._name}' was cut off: its answer is longer than max_tokens")
        return Completion(text.strip(), before, len(written), self._name)

    def _prompt(self, messages: Sequence[ChatMessage]) -> Any:
        """The messages as the model was taught to read them."""
        plain = [{"role": message.role, "content": self._without_marks(message.text)} for message in messages]
        if not self._tokenizer.chat_template:
            lines = [f"{message['role'].capitalize()}: {message['content']}" for message in plain]
            return self._tokenizer("\n\n".join([*lines, "Assistant:"]), return_tensors="pt")
        from jinja2 import TemplateError

        as_chat = {
            "add_generation_prompt": True,
            "return_tensors": "pt",
            "return_dict": True,
            "enable_thinking": False,  # models that think aloud first would use up the deadline
        }
        try:
            return self._tokenizer.apply_chat_template(plain, **as_chat)
        except TemplateError:
            # Some models know no system message; theirs comes with the first question.
            system = "\n\n".join(message["content"] for message in plain if message["role"] == "system")
            rest = [message for message in plain if message["role"] != "system"]
            first = {"role": "user", "content": f"{system}\n\n{rest[0]['content']}"}
            return self._tokenizer.apply_chat_template([first, *rest[1:]], **as_chat)

    def _without_marks(self, text: str) -> str:
        """The text without what would end the customer's part and begin another: `<|im_end|>` and its like."""
        special = [str(token) for token in self._tokenizer.added_tokens_decoder.values() if token.special]
        for mark in (*special, *self._tokenizer.all_special_tokens):
            text = text.replace(mark, " ")
        return text

    def _text(self, ids: Any) -> str:
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True)
        return text if self._tokenizer.chat_template else text.partition(NEXT_SPEAKER)[0]

    def _is_next_speaker(self, ids: Any) -> bool:
        return not self._tokenizer.chat_template and NEXT_SPEAKER in self._tokenizer.decode(ids)

    def _load(self) -> None:
        if self._model is not None:
            return
        # Read when transformers is imported: without it, every start asks the network for news.
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging as progress

        progress.disable_progress_bar()
        torch.set_num_threads(self._threads)
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(self._place, local_files_only=True)
            model = AutoModelForCausalLM.from_pretrained(self._place, local_files_only=True, use_safetensors=True)
        except Exception as error:  # whatever is wrong with a folder, it is that folder's fault
            raise LLMError(
                f"the language model '{self._name}' is not on this machine, or is damaged "
                f"({type(error).__name__}). Download it once (hf download {self._name}), or name its folder"
            ) from None
        self._model = model.eval().to("cuda" if torch.cuda.is_available() else "cpu")

    def _too_late(self) -> LLMTimeout:
        return LLMTimeout(f"the language model '{self._name}' did not answer in time")
