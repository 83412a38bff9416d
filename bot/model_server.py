"""A model server: asked again and again whether it has a newer model. The protocol is Rasa's.

`GET url` with `If-None-Match` of the model that is loaded; 200 with an archive, its `ETag` and its `filename`, or 204,
304 and 404 when there is nothing new. Source: https://rasa.com/docs/rasa/model-storage#load-model-from-server
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from bot.errors import ConfigError, FrontdeskError, ModelError, describe
from bot.messages import EMPTY
from bot.model_archive import LARGEST, SUFFIX
from bot.serving import Serving

log = logging.getLogger(__name__)


class ModelServer:
    """The keywords are those of `models` in endpoints.yml; the wait is in seconds, 0 for asking once."""

    def __init__(
        self,
        url: str,
        *,
        params: Mapping[str, str] = EMPTY,
        headers: Mapping[str, str] = EMPTY,
        basic_auth: Mapping[str, str] = EMPTY,
        token: str | None = None,
        token_name: str = "token",
        wait_time_between_pulls: float | None = 100.0,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError("the 'url' of a model server must be like http://models.example/bot.tar.gz")
        if basic_auth and not {"username", "password"} <= set(basic_auth):
            raise ConfigError("'basic_auth' of a model server needs 'username' and 'password'")
        self.wait = max(float(wait_time_between_pulls or 0), 0.0)
        # Passwords and tokens may stand in a URL; they must not stand in a log.
        self.shown_url = f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"
        self._url = httpx.URL(url).copy_merge_params({**params, **({token_name: token} if token else {})})
        self._headers = dict(headers)
        self._auth = (basic_auth["username"], basic_auth["password"]) if basic_auth else None
        self._etag: str | None = None

    async def pull(self, serving: Serving) -> bool:
        """Load the server's model if it is another one than the last. `ModelError` when it cannot be had."""
        try:
            async with httpx.AsyncClient(auth=self._auth, timeout=60, trust_env=False) as client:
                headers = {**self._headers, **({"If-None-Match": self._etag} if self._etag else {})}
                async with client.stream("GET", self._url, headers=headers) as answer:
                    if answer.status_code in (204, 304, 404):
                        return False
                    if answer.status_code != 200:
                        raise ModelError(f"the model server {self.shown_url} answered {answer.status_code}")
                    with tempfile.TemporaryDirectory(prefix="frontdesk-") as folder:
                        file = Path(folder) / _name(answer.headers.get("filename"))
                        await _download(answer, file)
                        await serving.load(file)
        except httpx.HTTPError as error:
            raise ModelError(f"the model server {self.shown_url} cannot be reached ({type(error).__name__})") from error
        self._etag = answer.headers.get("ETag")
        return True

    async def pull_first(self, serving: Serving) -> None:
        """A server that has no model yet, or is away, is asked again later."""
        try:
            if not await self.pull(serving):
                log.warning("the model server %s has no model yet", self.shown_url)
        except FrontdeskError as error:
            log.error("%s. It is asked again in %g s", error, self.wait)

    async def keep_pulling(self, serving: Serving) -> None:
        """Until cancelled. What goes wrong is said, and the model stays as it is."""
        while self.wait:
            await asyncio.sleep(self.wait)
            try:
                if await self.pull(serving):
                    log.info("the model server %s has sent a new model", self.shown_url)
            except FrontdeskError as error:
                log.error("%s. The model before stays loaded", error)
            except Exception as error:
                # Whatever a model's components may raise: serving goes on with the one that works.
                log.error("a model of %s could not be loaded: %s", self.shown_url, describe(error))


def _name(given: str | None) -> str:
    name = Path(given or "").name
    return name if name.endswith(SUFFIX) else f"model{SUFFIX}"


async def _download(answer: httpx.Response, file: Path) -> None:
    size = 0
    with file.open("wb") as out:
        async for chunk in answer.aiter_bytes():
            size += len(chunk)
            if size > LARGEST:
                raise ModelError("the model server's answer does not end: it is no model")
            out.write(chunk)
