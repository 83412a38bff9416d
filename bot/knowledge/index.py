"""Finds the passages that answer a question: by its words and, where there is an encoder, by its meaning."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from safetensors import SafetensorError

from bot.errors import ModelError, Source
from bot.knowledge.passages import Passage, read_passages
from bot.nlu.gloss import gloss, has_chinese
from bot.nlu.language_model_featurizer import LanguageModelFeaturizer

Array = NDArray[np.float32]
Encode = Callable[[Sequence[str]], Array]
"""Texts to one row of length 1 each: (texts, width)."""

# Okapi BM25's saturation and length normalisation (Robertson and Zaragoza, 2009).
K1, B = 1.2, 0.6
TITLE_WEIGHT = 2
"""A word of the heading counts as often as this many words of the text."""

# Each passage, and "no passage at all", bids for the question; a bid is the exponential of a weighted sum of
# the cosine of the two and the share of the question's words that the passage has, and a confidence is a
# share of all bids. Fitted by `bench/knowledge.py --fit`.
WITH_ENCODER = {"cosine": 25.2, "words": 4.0, "constant": -11.5}
WORDS_ALONE = {"cosine": 0.0, "words": 12.5, "constant": -6.7}

VECTORS = ("wholes", "sentences", "owners")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？；])|\n")
_WORD = re.compile(r"[^\W_\u3400-\u9fff]+|[\u3400-\u9fff]+")
_STOP_ENGLISH = (
    "a about after all also am an and any are as at be been before but by can could did do does doing for from get "
    "give go going got had has have having hello hi how i i'd i'll i'm i've if in into is it its just know let like "
    "long make many may me might more most much must my need no not of off ok on one or other our out over please "
    "s say should so some t tell than thank thanks that the their them then there these they this those to too up us "
    "very want was way we were what what's when where which while who whom why will with would you your d ll m re ve "
    "don doesn isn aren won't there's here"
)
_STOP = frozenset(_STOP_ENGLISH.split())
_STOP_CHINESE = re.compile(
    r"请问|怎么样|怎么办|怎么|怎样|如何|多少|什么|哪里|哪些|哪个|可以|可不可以|能不能|能否|是否|有没有|是不是|需要|想要|应该|"
    r"我们|你们|您们|一下|这个|那个|为什么|告诉|知道|[我你您他她它的了吗呢吧啊呀是在有和与或就都也还要会能想把被给对让]"
)


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage, and how sure it is that it answers the question (0…1; those of all passages add up to 1 at most)."""

    passage: Passage
    confidence: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for each passage that a reader of the language may be shown.

    `cosines` is how near each is to the question in meaning, `shares` how many of its words it has (0…1),
    both in the order of `passages`.
    """

    passages: Sequence[Passage]
    cosines: Array
    shares: Array

    def bids(self, cosine: float, words: float, constant: float) -> NDArray[np.float64]:
        """The logarithm of each passage's bid; that of no passage is 0."""
        return cosine * self.cosines.astype(np.float64) + words * self.shares.astype(np.float64) + constant


@dataclass(frozen=True, slots=True)
class Meanings:
    """What an encoder makes of the passages.

    `wholes` is, for each passage, the sum of the vectors of its text and of its headings: (passages, width).
    `sentences` is one vector for each sentence: (sentences, width); sentence i is of passage `owners[i]`.
    """

    wholes: Array
    sentences: Array
    owners: NDArray[np.int32]

    def cosines(self, question: Array) -> Array:
        """The mean of three: with the text, with its headings, and with the nearest of its sentences."""
        nearest = np.full(len(self.wholes), -1, np.float32)
        np.maximum.at(nearest, self.owners, self.sentences @ question)
        mean: Array = (self.wholes @ question + nearest) / np.float32(3)
        return mean


class Index:
    """The passages of a project; without an encoder, `meanings` is None and words alone find them."""

    def __init__(
        self,
        passages: Sequence[Passage],
        languages: Sequence[str],
        meanings: Meanings | None = None,
        encode: Encode | None = None,
    ) -> None:
        self.passages = tuple(passages)
        self.languages = tuple(languages)
        self._meanings = meanings
        self._encode = encode
        self._words = [_weighted_words(passage) for passage in passages]
        self._lengths = [sum(words.values()) for words in self._words]
        self._readable = {language: self._for_language(language) for language in languages}

    @staticmethod
    def build(paths: Sequence[Path], *, languages: Sequence[str], encode: Encode | None = None) -> Index:
        """Read the documents in these files and folders; see `read_passages`."""
        passages = read_passages(paths, languages)
        return Index(passages, languages, _meanings(passages, encode) if encode and passages else None, encode)

    def save(self, folder: Path) -> None:
        """Write passages.json and vectors.safetensors; the same documents give the same bytes."""
        data = {
            "languages": self.languages,
            "passages": [
                {
                    "title": passage.title,
                    "text": passage.text,
                    "language": passage.language,
                    "document": passage.document,
                    "file": passage.source.file,
                    "line": passage.source.line,
                }
                for passage in self.passages
            ],
        }
        (folder / "passages.json").write_bytes(orjson.dumps(data))
        if self._meanings is not None:
            from safetensors.numpy import save_file

            save_file({name: getattr(self._meanings, name) for name in VECTORS}, folder / "vectors.safetensors")

    @staticmethod
    def load(folder: Path, *, encode: Encode | None = None) -> Index:
        """What `save` wrote. `encode` must be the encoder of the building; without it words decide alone."""
        try:
            data: dict[str, Any] = orjson.loads((folder / "passages.json").read_bytes())
            passages = [
                Passage(
                    title=tuple(entry["title"]),
                    text=entry["text"],
                    language=entry["language"],
                    document=entry["document"],
                    source=Source(entry["file"], entry["line"]),
                )
                for entry in data["passages"]
            ]
            meanings = None
            if encode and (folder / "vectors.safetensors").is_file():
                from safetensors.numpy import load_file

                tensors = load_file(folder / "vectors.safetensors")
                meanings = Meanings(*(tensors[name] for name in VECTORS))
                if len(meanings.wholes) != len(passages):
                    raise ValueError(f"{len(passages)} passages but {len(meanings.wholes)} vectors")
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise ModelError(f"the documents in '{folder}' cannot be read: {error}. Run: frontdesk train") from error
        return Index(passages, data["languages"], meanings, encode)

    def search(self, query: str, language: str | None = None, k: int = 4) -> list[Hit]:
        """The `k` passages that fit best, best first.

        They are in `language` where their document has a translation into it, else in the language that
        it has. None stands for the project's first language.
        """
        found = self.evidence(query, language)
        bids = found.bids(**(WORDS_ALONE if self._meanings is None else WITH_ENCODER))
        confidences = np.exp(bids - np.logaddexp.reduce(np.append(bids, 0.0)))
        best = np.argsort(-confidences, kind="stable")[:k]
        return [Hit(found.passages[i], float(confidences[i])) for i in best]

    def evidence(self, query: str, language: str | None) -> Evidence:
        """How well each passage in this language fits; no passages for an empty question."""
        places = self._readable.get(language or "") or self._readable.get(self.languages[0], [])
        if not query.strip():
            places = []
        cosines = np.zeros(len(places), np.float32)
        if places and self._meanings is not None and self._encode is not None:
            cosines = self._meanings.cosines(self._encode([query])[0])[places]
        return Evidence([self.passages[place] for place in places], cosines, self._shares(query, places))

    def _for_language(self, language: str) -> list[int]:
        """The passages for a reader of `language`: each document in one language only."""
        there: dict[str, set[str]] = {}
        for passage in self.passages:
            there.setdefault(passage.document, set()).add(passage.language)
        chosen = {
            document: next(code for code in (language, *self.languages) if code in codes)
            for document, codes in there.items()
        }
        return [i for i, passage in enumerate(self.passages) if passage.language == chosen[passage.document]]

    def _shares(self, query: str, places: Sequence[int]) -> Array:
        """For each passage, how much of what the question's words say it has (0…1)."""
        asked = set(words_of(query))
        if has_chinese(query) and any(self.passages[place].language.split("-")[0] != "zh" for place in places):
            asked |= set(words_of(gloss(query)))
        shares = np.zeros(len(places), np.float32)
        if not places:
            return shares
        mean = sum(self._lengths[place] for place in places) / len(places)
        total = 0.0
        for word in asked:
            has = [
                (number, self._words[place][word]) for number, place in enumerate(places) if word in self._words[place]
            ]
            rarity = math.log(1 + (len(places) - len(has) + 0.5) / (len(has) + 0.5))
            total += rarity
            for number, count in has:
                length = 1 - B + B * self._lengths[places[number]] / mean
                shares[number] += rarity * min(1.0, count * (K1 + 1) / (count + K1 * length))
        return shares / np.float32(total) if total else shares


def encoder_of(components: Sequence[object]) -> Encode | None:
    """The sentence encoder of a pipeline's components, glossing Chinese where that one does; None without one."""
    featurizer = next((one for one in components if isinstance(one, LanguageModelFeaturizer)), None)
    if featurizer is None:
        return None

    def encode(texts: Sequence[str]) -> Array:
        rows: list[Array] = []
        for start in range(0, len(texts), 32):
            rows += featurizer.vectors(texts[start : start + 32])
        return np.stack(rows).astype(np.float32)

    return encode


def _meanings(passages: Sequence[Passage], encode: Encode) -> Meanings:
    sentences: list[str] = []
    owners: list[int] = []
    for number, passage in enumerate(passages):
        for sentence in filter(None, map(str.strip, _SENTENCE_END.split(passage.text))):
            sentences.append(f"{passage.title[-1]}: {sentence}")
            owners.append(number)
    wholes = encode([f"{passage.title[-1]}: {passage.text}" for passage in passages])
    wholes = wholes + encode([", ".join(passage.title) for passage in passages])
    return Meanings(wholes, encode(sentences), np.array(owners, np.int32))


def words_of(text: str) -> list[str]:
    """The words that say something, in their stems; Chinese as pairs of characters."""
    found: list[str] = []
    for word in _WORD.findall(_STOP_CHINESE.sub(" ", text.lower().replace("’", "'"))):
        if has_chinese(word):
            found += [word[i : i + 2] for i in range(len(word) - 1)] or [word]
        elif word not in _STOP:
            found.append(_stem(word))
    return found


def _stem(word: str) -> str:
    """English endings off, so that `transfers`, `transferring` and `transfer` are one word."""
    for ending, instead in (("ies", "y"), ("ing", ""), ("ed", ""), ("es", ""), ("s", ""), ("e", "")):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            word = word.removesuffix(ending) + instead
            break
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "ls" else word


def _weighted_words(passage: Passage) -> Counter[str]:
    words = Counter(words_of(passage.text))
    for heading in passage.title:
        for word in words_of(heading):
            words[word] += TITLE_WEIGHT
    return words
