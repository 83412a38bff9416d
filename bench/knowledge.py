"""How well questions find the documents: `python bench/knowledge.py [--fit] [--clinc <clinc150 folder>]`.

Asks the questions of knowledge_questions.yml to Harbour Bank's documents: the share whose first passage
is the right one, the share answered (confidence at least the threshold) rightly and wrongly, and the
share of off-topic questions that get an answer, which should be none; then the shares of both for which a
language model would be asked. With `--clinc`, CLINC150's
out-of-scope questions (Larson et al., 2019), too: its training and validation part in fitting, its test part
in measuring. `--fit` prints the constants of bot/knowledge/index.py.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ruamel.yaml import YAML

from bot.knowledge.index import Evidence, Index, encoder_of
from bot.nlu.language_model_featurizer import LanguageModelFeaturizer
from bot.nlu.languages import detect_language

HERE = Path(__file__).resolve().parent
LANGUAGES = ("en", "zh")
THRESHOLD = 0.6
RELATED = 0.1  # as in actions/llm.py


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--fit", action="store_true", help="fit the confidence anew")
    arguments.add_argument("--clinc", type=Path, help="folder of CLINC150's JSON files")
    arguments.add_argument("--wrong", action="store_true", help="list what went wrong")
    given = arguments.parse_args()
    questions: Mapping[str, Any] = YAML(typ="safe").load((HERE / "knowledge_questions.yml").read_text("utf-8"))
    documents = [HERE.parent / "domains" / "banking" / "knowledge"]
    encode = encoder_of([LanguageModelFeaturizer(languages=LANGUAGES)])
    started = time.perf_counter()
    index = Index.build(documents, languages=LANGUAGES, encode=encode)
    print(f"{len(index.passages)} passages indexed in {time.perf_counter() - started:.1f} s")
    words = Index.build(documents, languages=LANGUAGES)
    if given.fit:
        nothing = list(out_of_scope(given.clinc, "oos_train", "oos_val")) if given.clinc else []
        for name, one in (("WITH_ENCODER", index), ("WORDS_ALONE", words)):
            print(name, fit(one, questions["fit"], nothing))
        return
    print(f"\n{'':24} first is right   answered: rightly   wrongly   off topic answered   model asked: on topic   off")
    for name, one in (("words and encoder", index), ("words alone", words)):
        for part in ("fit", "test"):
            print_row(f"{name}, {part}", one, questions[part], given.wrong)
        if given.clinc:
            print_clinc(one, given.clinc)
    started = time.perf_counter()
    for question in questions["test"]["en"]:
        index.search(question, "en")
    print(f"\na search takes {1000 * (time.perf_counter() - started) / len(questions['test']['en']):.1f} ms")


def print_row(name: str, index: Index, questions: Mapping[str, Any], list_wrong: bool) -> None:
    for language in LANGUAGES:
        right = rightly = wrongly = 0
        for question, headings in questions[language].items():
            hit = index.search(question, language)[0]
            fits = hit.passage.title[-1] in headings.split(" | ")
            right += fits
            rightly += fits and hit.confidence >= THRESHOLD
            wrongly += not fits and hit.confidence >= THRESHOLD
            if list_wrong and (not fits or hit.confidence < THRESHOLD):
                print(f"    {question} -> {hit.passage.title[-1]} ({hit.confidence:.2f})")
        nothing = [q for q in questions["nothing"] if detect_language(q, LANGUAGES) == language]
        answered = [(q, hit) for q in nothing for hit in index.search(q, language)[:1] if hit.confidence >= THRESHOLD]
        if list_wrong:
            for question, hit in answered:
                print(f"    off topic: {question} -> {hit.passage.title[-1]} ({hit.confidence:.2f})")
        size = len(questions[language])
        print(
            f"{name + ' ' + language:24} {right / size:14.0%} {rightly / size:19.0%} {wrongly / size:9.0%} "
            f"{len(answered):11} of {len(nothing):2} {related(index, questions[language], language):26.0%} "
            f"{related(index, nothing, language):11.0%}"
        )


def print_clinc(index: Index, folder: Path) -> None:
    texts = out_of_scope(folder, "oos_test")
    answered = sum(index.search(text, "en")[0].confidence >= THRESHOLD for text in texts)
    print(
        f"    CLINC150, out of scope: {answered} of {len(texts)} get an answer, "
        f"a model is asked for {related(index, texts, 'en'):.0%}"
    )


def related(index: Index, questions: Iterable[str], language: str) -> float:
    """The share of the questions for which the passages found may have an answer."""
    asked = [sum(hit.confidence for hit in index.search(question, language)) >= RELATED for question in questions]
    return sum(asked) / len(asked)


def out_of_scope(folder: Path, *parts: str) -> Sequence[str]:
    data = json.loads((folder / "data_full.json").read_text("utf-8"))
    return [text for part in parts for text, _ in data[part]]


def fit(index: Index, questions: Mapping[str, Any], nothing: Sequence[str]) -> Mapping[str, float]:
    """The constants under which the right passage of each question, or none, is most likely to get it."""
    from scipy.optimize import minimize

    asked: list[tuple[Evidence, NDArray[np.bool_]]] = []
    for language in LANGUAGES:
        for question, headings in questions[language].items():
            found = index.evidence(question, language)
            right = [passage.title[-1] in headings.split(" | ") for passage in found.passages]
            asked.append((found, np.array(right)))
    # CLINC150 calls out of scope what other companies' bots cannot do: some of it the bank can.
    for question in sorted({*questions["nothing"], *nothing} - set(questions["en"])):
        found = index.evidence(question, detect_language(question, LANGUAGES))
        asked.append((found, np.zeros(len(found.passages), bool)))

    def loss(weights: NDArray[np.float64]) -> float:
        total = 0.01 * (weights[0] ** 2 + weights[1] ** 2)
        for found, right in asked:
            bids = found.bids(*weights)
            total += np.logaddexp.reduce(np.append(bids, 0.0)) - np.logaddexp.reduce(
                bids[right] if right.any() else [0.0]
            )
        return float(total)

    cosine, words, constant = minimize(loss, np.array([10.0, 3.0, -8.0])).x
    has_meaning = bool(asked[0][0].cosines.any())
    return {
        "cosine": round(float(cosine), 1) if has_meaning else 0.0,
        "words": round(float(words), 1),
        "constant": round(float(constant), 1),
    }


if __name__ == "__main__":
    main()
