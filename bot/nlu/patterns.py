"""A project's regular expressions and lookup tables, compiled once: what the regex components and the CRF read."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.errors import DataError
from bot.messages import Token
from bot.nlu.tokens import MAX_CHARACTERS, fine_tokens
from bot.training_data import TrainingData

log = logging.getLogger(__name__)

PATTERN_SECONDS = 0.1
"""A pattern that needs longer than this for one text is given up for that text."""


@dataclass(frozen=True, slots=True)
class Match:
    """Characters `start` up to `end` are what the pattern or lookup table `name` asks for."""

    name: str
    start: int
    end: int


class Patterns:
    """Finds what regular expressions (`regex` pairs of name and pattern) and lookup values match in a text.

    Lookup values match whole words (or, with `use_word_boundaries` off, any characters), by spaCy's
    PhraseMatcher, so that ten thousand values cost no more than ten. Of overlapping matches with one
    name the longest stays; different names may overlap, as in Rasa.
    """

    def __init__(
        self,
        regexes: Sequence[tuple[str, str]] = (),
        lookups: Mapping[str, Sequence[str]] | None = None,
        *,
        case_sensitive: bool = False,
        use_word_boundaries: bool = True,
    ) -> None:
        self._regexes = [tuple(pair) for pair in regexes]
        self._lookups = {name: list(values) for name, values in (lookups or {}).items()}
        self._case_sensitive = case_sensitive
        self._use_word_boundaries = use_word_boundaries
        self.names = sorted({name for name, _ in self._regexes} | set(self._lookups))
        self._compiled = [(name, _compile(pattern, case_sensitive)) for name, pattern in self._regexes]
        self._matcher = self._phrase_matcher() if any(self._lookups.values()) else None

    @staticmethod
    def of(
        data: TrainingData,
        *,
        case_sensitive: bool,
        use_lookup_tables: bool = True,
        use_regexes: bool = True,
        use_word_boundaries: bool = True,
        only: Collection[str] | None = None,
    ) -> Patterns:
        """The patterns of a project, or those whose name is in `only`; DataError for one that does not compile."""
        regexes: list[tuple[str, str]] = []
        for pattern in data.patterns if use_regexes else ():
            if only is None or pattern.name in only:
                try:
                    _compile(pattern.pattern, case_sensitive)
                except ValueError as error:
                    raise DataError(
                        f"the pattern '{pattern.pattern}' of regex '{pattern.name}' does not compile: {error}",
                        pattern.source,
                    ) from error
                regexes.append((pattern.name, pattern.pattern))
        lookups: dict[str, list[str]] = {}
        for lookup in data.lookups if use_lookup_tables else ():
            if only is None or lookup.name in only:
                lookups.setdefault(lookup.name, []).extend(lookup.values)
        return Patterns(regexes, lookups, case_sensitive=case_sensitive, use_word_boundaries=use_word_boundaries)

    def to_json(self) -> dict[str, Any]:
        """What `from_json` rebuilds the patterns from."""
        return {
            "regexes": self._regexes,
            "lookups": self._lookups,
            "case_sensitive": self._case_sensitive,
            "use_word_boundaries": self._use_word_boundaries,
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Patterns:
        """The patterns that `to_json` described."""
        return Patterns(
            data["regexes"],
            data["lookups"],
            case_sensitive=data["case_sensitive"],
            use_word_boundaries=data["use_word_boundaries"],
        )

    def find(self, text: str) -> list[Match]:
        """All matches in the first MAX_CHARACTERS of `text`, by name and then in the order of the text."""
        text = text[:MAX_CHARACTERS]
        found = [*self._find_regexes(text), *self._find_lookups(text)]
        return _without_overlaps(found) if found else found

    def _find_regexes(self, text: str) -> Iterator[Match]:
        for name, pattern in self._compiled:
            try:
                for match in pattern.finditer(text, timeout=PATTERN_SECONDS):
                    if match.end() > match.start():
                        yield Match(name, match.start(), match.end())
            except TimeoutError:
                # The text stays out of the log: it is the customer's.
                log.warning("regex '%s' took over %s s for one message and was given up", name, PATTERN_SECONDS)

    def _find_lookups(self, text: str) -> Iterator[Match]:
        if self._matcher is None:
            return
        tokens = self._cut(text)
        if not tokens:
            return
        vocab = self._matcher.vocab
        # In a memory zone, or spaCy would keep every word that any customer ever wrote.
        with vocab.memory_zone():
            spans = self._matcher(_doc(vocab, tokens))
        for key, first, last in spans:
            yield Match(vocab.strings[key], tokens[first].start, tokens[last - 1].end)

    def _phrase_matcher(self) -> Any:
        from bot.nlu.spacy_nlp import import_spacy

        import_spacy()
        from spacy.matcher import PhraseMatcher
        from spacy.vocab import Vocab

        # An empty vocabulary: a language's own would compute a dozen attributes of every new word.
        getters: dict[Any, Any] = {_LOWER: str.lower}
        vocab = Vocab(lex_attr_getters=getters)
        matcher = PhraseMatcher(vocab, attr="ORTH" if self._case_sensitive else "LOWER")
        for name, values in self._lookups.items():
            phrases = (self._cut(value) for value in values)
            matcher.add(name, [_doc(vocab, tokens) for tokens in phrases if tokens])
        return matcher

    def _cut(self, text: str) -> list[Token]:
        if self._use_word_boundaries:
            return fine_tokens(text)
        return [Token(character, i, i + 1) for i, character in enumerate(text)]


_LOWER = 66  # spacy.attrs.LOWER, without importing spaCy for a project that has no lookup table


def _compile(pattern: str, case_sensitive: bool) -> Any:
    """The `regex` package reads what `re` reads, and alone of the two can be stopped in time."""
    import regex

    try:
        return regex.compile(pattern, 0 if case_sensitive else regex.IGNORECASE)
    except regex.error as error:
        raise ValueError(str(error)) from error


def _doc(vocab: Any, tokens: Sequence[Token]) -> Any:
    from spacy.tokens import Doc

    return Doc(vocab, words=[token.text for token in tokens])


def _without_overlaps(matches: Sequence[Match]) -> list[Match]:
    kept: list[Match] = []
    taken: dict[str, set[int]] = {}
    for match in sorted(matches, key=lambda match: (match.start - match.end, match.start)):
        characters = range(match.start, match.end)
        mine = taken.setdefault(match.name, set())
        if mine.isdisjoint(characters):
            mine.update(characters)
            kept.append(match)
    return sorted(kept, key=lambda match: (match.name, match.start))
