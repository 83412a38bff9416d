"""Dates, amounts, numbers, durations, telephone numbers and addresses: by a Duckling server, or by ourselves."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bot.errors import ConfigError
from bot.messages import Entity, Parse
from bot.nlu.quantities import DIMENSIONS, Quantity, find_quantities
from bot.nlu.tokens import MAX_CHARACTERS

log = logging.getLogger(__name__)

_REGIONS = {"en": ("GB", "US"), "zh": ("CN",), "ja": ("JP",), "ko": ("KR",), "sv": ("SE",), "da": ("DK",)}
_SECONDS_OF_SILENCE = 30.0
"""After a failure the server is left alone for so long: no customer waits for it twice."""


class DucklingEntityExtractor:
    """Asks the Duckling server at `url`; without one, or while it does not answer, finds the same by itself.

    `dimensions` are the names to keep ("amount-of-money", "time"…), all by default. `locale` (`en_GB`)
    gives the order of day and month and the country of telephone numbers; `timezone` (`Europe/London`)
    is that of the answers; `timeout` is in seconds.
    """

    needed_in_training = False

    def __init__(
        self,
        *,
        url: str | None = None,
        dimensions: Sequence[str] | None = None,
        locale: str | None = None,
        timezone: str | None = None,
        timeout: float = 3,
        languages: Sequence[str] = ("en",),
    ) -> None:
        self._url = url.rstrip("/") if url else None
        self._dimensions = frozenset(dimensions or ())
        self._locale = locale
        self._zone_name = timezone
        try:
            self._zone: tzinfo = ZoneInfo(timezone) if timezone else UTC
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ConfigError(
                f"DucklingEntityExtractor: there is no timezone '{timezone}'; write it like Europe/London"
            ) from error
        self._timeout = timeout
        self._languages = tuple(languages)
        self._ask_again_at = 0.0  # time.monotonic()
        self._client: Any = None

    def parse(self, parses: Sequence[Parse]) -> None:
        now = datetime.now(self._zone)
        for parse in parses:
            text = parse.text[:MAX_CHARACTERS]
            entities = self._ask_server(text, now) if self._url else None
            if entities is None:
                entities = [_entity(quantity) for quantity in self._find(text, parse.language, now)]
            parse.entities.extend(entities)

    # ---- by ourselves ----------------------------------------------------------------------------

    def _find(self, text: str, language: str | None, now: datetime) -> list[Quantity]:
        return find_quantities(
            text,
            now=now,
            language=language or self._languages[0],
            dimensions=self._dimensions or DIMENSIONS,
            regions=self._regions(),
            day_first=self._region() != "US",
        )

    def _region(self) -> str | None:
        """`GB` of `en_GB`."""
        parts = (self._locale or "").replace("-", "_").split("_")
        return parts[1].upper() if len(parts) > 1 else None

    def _regions(self) -> tuple[str, ...]:
        region = self._region()
        if region:
            return (region,)
        codes = (language.replace("_", "-").split("-") for language in self._languages)
        return tuple(
            region
            for code in codes
            for region in ((code[-1].upper(),) if len(code) > 1 else _REGIONS.get(code[0], (code[0].upper(),)))
        )

    # ---- by the server ---------------------------------------------------------------------------

    def _ask_server(self, text: str, now: datetime) -> list[Entity] | None:
        """The server's entities; None when it does not answer properly."""
        if time.monotonic() < self._ask_again_at:
            return None
        import httpx

        if self._client is None:
            self._client = httpx.Client(timeout=self._timeout)
        form = {"text": text, "dims": json.dumps(sorted(self._dimensions) or None)}
        form["reftime"] = str(int(now.timestamp() * 1000))
        if self._locale:
            form["locale"] = self._locale
        if self._zone_name:
            form["tz"] = self._zone_name
        try:
            response = self._client.post(f"{self._url}/parse", data=form)
            response.raise_for_status()
            found = [_from_server(match) for match in response.json()]
        except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError) as error:
            self._ask_again_at = time.monotonic() + _SECONDS_OF_SILENCE
            log.warning(
                "the Duckling server at %s does not answer (%s); our own extraction stands in",
                self._url,
                type(error).__name__,
            )
            return None
        return [entity for entity in found if not self._dimensions or entity.entity in self._dimensions]


def _entity(quantity: Quantity) -> Entity:
    return Entity(
        entity=quantity.dimension,
        value=quantity.value,
        start=quantity.start,
        end=quantity.end,
        confidence=1.0,
        extractor="DucklingEntityExtractor",
        additional_info=quantity.info,
    )


def _from_server(match: Mapping[str, Any]) -> Entity:
    info = match["value"]
    value = info.get("value")
    if info.get("type") == "interval":
        value = {end: (info.get(end) or {}).get("value") for end in ("to", "from")}
    return Entity(
        entity=match["dim"],
        value=value,
        start=match["start"],
        end=match["end"],
        confidence=1.0,
        extractor="DucklingEntityExtractor",
        additional_info=info,
    )
