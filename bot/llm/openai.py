"""Any language model behind an OpenAI-compatible endpoint: OpenAI's own, a cloud's, vLLM, Ollama, llama.cpp.

Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from bot.errors import LLMBadReply, LLMError, LLMRateLimited, LLMTimeout
from bot.interfaces import ChatMessage, Completion

# The settings that newer models refuse, and what they take instead (None: nothing).
_INSTEAD: Mapping[str, str | None] = {"max_tokens": "max_completion_tokens", "temperature": None}


class Openai:
    """`model` at `base_url`. A local server needs no `api_key`; the environment is not asked for one.

    `http_client` is the `openai` package's kind of client, for tests and for proxies of one's own.
    """

    def __init__(
        self,
        *,
        model: str,
        base_url: str = "https://api.openai.com/v1",
        api_key: str | None = None,
        temperature: float = 0.0,
        max_tokens: int = 400,
        http_client: Any = None,
    ) -> None:
        if not base_url.startswith(("https://", "http://")):
            raise ValueError("base_url must begin with https:// or http://")
        self._model = model
        self._base_url = base_url
        self._api_key = api_key
        self._settings: dict[str, Any] = {"temperature": temperature, "max_tokens": max_tokens}
        self._http_client = http_client
        self._client: Any = None
        self._connecting = threading.Lock()

    async def complete(self, messages: Sequence[ChatMessage], *, deadline: float) -> Completion:
        try:
            async with asyncio.timeout(deadline):
                reply = await self._create(messages, stream=False)
            choice = reply.choices[0]
            text = choice.message.content
            usage = reply.usage
            completion = Completion(
                text=text.strip() if text else "",
                prompt_tokens=usage.prompt_tokens if usage else 0,
                completion_tokens=usage.completion_tokens if usage else 0,
                model=reply.model or self._model,
            )
        except Exception as error:
            # Without its cause: a vendor's message may repeat the key or what the customer said.
            raise self._ours(error) from None
        self._check(completion.text, choice.finish_reason)
        return completion

    async def stream(self, messages: Sequence[ChatMessage], *, deadline: float) -> AsyncIterator[str]:
        """Piece by piece; that the answer was empty or cut off shows only at its end, as LLMBadReply."""
        end = asyncio.get_running_loop().time() + deadline
        said, reason, chunks = False, None, None
        try:
            while True:
                try:
                    async with asyncio.timeout_at(end):
                        if chunks is None:
                            chunks = await self._create(messages, stream=True)
                        chunk = await anext(chunks, None)
                    if chunk is None:
                        break
                    # The last chunk of some servers has the usage alone.
                    piece = (chunk.choices[0].delta.content or "") if chunk.choices else ""
                    reason = (chunk.choices[0].finish_reason if chunk.choices else None) or reason
                except Exception as error:
                    raise self._ours(error) from None
                if piece:
                    said = said or bool(piece.strip())
                    yield piece
        finally:
            if chunks is not None:
                await chunks.close()
        self._check("said" if said else "", reason)

    async def _create(self, messages: Sequence[ChatMessage], *, stream: bool) -> Any:
        """Ask; and ask again without a setting that this model refuses, which is remembered."""
        if self._client is None:
            # The import and the certificates take half a second that nobody else should wait for.
            await asyncio.to_thread(self._connect)
        said = [{"role": message.role, "content": message.text} for message in messages]
        settings = self._settings
        while True:
            try:
                return await self._client.chat.completions.create(
                    model=self._model, messages=said, stream=stream, **settings
                )
            except Exception as error:
                refused = getattr(error, "param", None)
                if getattr(error, "status_code", None) != 400 or refused not in _INSTEAD or refused not in settings:
                    raise
                instead = _INSTEAD[refused]
                value = settings[refused]
                settings = {name: setting for name, setting in settings.items() if name != refused}
                if instead:
                    settings[instead] = value
                self._settings = settings

    def _connect(self) -> None:
        with self._connecting:
            if self._client is not None:
                return
            import openai

            client = openai.AsyncOpenAI(
                base_url=self._base_url,
                api_key=self._api_key or "none",
                max_retries=0,  # a customer is waiting: the answer without a model comes sooner than a second try
                http_client=self._http_client or openai.DefaultAsyncHttpxClient(trust_env=False),
            )
            _ = client.chat.completions  # loads what the package itself loads late
            self._client = client

    def _check(self, text: str, finish_reason: str | None) -> None:
        if finish_reason == "length":
            raise LLMBadReply(f"the language model '{self._model}' was cut off: its answer is longer than max_tokens")
        if finish_reason == "content_filter":
            raise LLMBadReply(f"the provider's content filter stopped the language model '{self._model}'")
        if not text:
            raise LLMBadReply(f"the language model '{self._model}' gave an empty answer")

    def _ours(self, error: Exception) -> LLMError:
        """The error in our words, without any of the vendor's."""
        import openai

        # The host alone: some addresses carry a password or a key.
        what = f"the language model '{self._model}' at {urlsplit(self._base_url).hostname}"
        match error:
            case LLMError():
                return error
            case TimeoutError() | openai.APITimeoutError():
                return LLMTimeout(f"{what} did not answer in time")
            case openai.RateLimitError():
                return LLMRateLimited(f"{what} says that it is asked too often, or that the account is used up (429)")
            case openai.AuthenticationError() | openai.PermissionDeniedError():
                return LLMError(f"{what} refuses the key ({error.status_code}): look at llm.api_key in config.yml")
            case openai.NotFoundError():
                return LLMError(f"{what} does not exist (404): look at llm.model and llm.base_url in config.yml")
            case openai.APIStatusError():
                return LLMError(f"{what} answered {error.status_code}")
            case openai.APIConnectionError():
                return LLMError(f"{what} cannot be reached: look at llm.base_url in config.yml")
            case openai.APIResponseValidationError() | ValueError() | TypeError() | AttributeError() | IndexError():
                return LLMBadReply(f"{what} answered with something that is no chat completion")
            case _:
                return LLMError(f"{what} failed: {type(error).__name__}")
