"""KeywordIntentClassifier: a text that contains a training example has its intent."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path

from bot.messages import Intent, Parse
from bot.training_data import TrainingData

log = logging.getLogger(__name__)


class KeywordIntentClassifier:
    """Every example is a keyword. One that belongs to two intents belongs to neither."""

    needed_in_training = False

    def __init__(self, *, case_sensitive: bool = True) -> None:
        self._flags = re.NOFLAG if case_sensitive else re.IGNORECASE
        self._intents: dict[str, str] = {}

    def train(self, data: TrainingData, parses: Sequence[Parse]) -> None:
        intents: dict[str, set[str]] = {}
        for example in data.examples:
            if example.intent and example.text.strip():
                intents.setdefault(example.text, set()).add(example.intent.split("/")[0])
        clear = {keyword: next(iter(found)) for keyword, found in intents.items() if len(found) == 1}
        # A keyword inside another intent's keyword would claim that one's messages too.
        self._intents = {
            keyword: intent
            for keyword, intent in clear.items()
            if not any(other != intent and self._contains(longer, keyword) for longer, other in clear.items())
        }
        for keyword in sorted(set(intents) - set(self._intents)):
            log.warning("KeywordIntentClassifier: '%s' could mean several intents and is left out", keyword)

    def parse(self, parses: Sequence[Parse]) -> None:
        for parse in parses:
            for keyword, intent in self._intents.items():
                if self._contains(parse.text, keyword):
                    parse.intent = Intent(intent, 1.0)
                    others = [other for other in parse.intent_ranking if other.name != intent]
                    parse.intent_ranking = [parse.intent, *others]
                    break

    def save(self, folder: Path) -> None:
        (folder / "keywords.json").write_text(json.dumps(self._intents, ensure_ascii=False), encoding="utf-8")

    def load(self, folder: Path) -> None:
        self._intents = json.loads((folder / "keywords.json").read_text(encoding="utf-8"))

    def _contains(self, text: str, keyword: str) -> bool:
        # Chinese has no word boundaries: there, a keyword may stand anywhere.
        pattern = re.escape(keyword)
        if keyword[:1].isascii():
            pattern = r"(?<!\w)" + pattern
        if keyword[-1:].isascii():
            pattern += r"(?!\w)"
        return re.search(pattern, text, self._flags) is not None
