"""`POST /model/test/stories` and `/model/test/intents`: how well the model does on data of the caller's."""

from __future__ import annotations

import asyncio
import copy
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from starlette.requests import Request
from starlette.responses import Response

from bot.api.callbacks import now_or_later
from bot.api.parameters import assistant_with_model, flag, serving_of, whole
from bot.api.training import not_yaml, text_of_body
from bot.assistant import Assistant
from bot.errors import DataError, FrontdeskError, ModelError, ProjectErrors, Source
from bot.evaluation.nlu import cross_validate, evaluate_nlu
from bot.evaluation.stories import evaluate_stories
from bot.http import RASA_DOCS, RequestError, answer_json, bad_request, require_access
from bot.messages import Parse
from bot.nlu_file import NluReader
from bot.nlu_json import NluJsonReader
from bot.serving import open_model, place_of, read_project
from bot.stores.memory import MemoryStore
from bot.story_file import read_stories
from bot.training_data import Example, Story
from bot.training_process import BODY, without_folder, write_project
from bot.understanding import Understanding
from bot.yaml_file import Fields, Problems, parse_yaml

T = TypeVar("T")


async def test_stories(request: Request) -> Response:
    require_access(request)
    assistant = assistant_with_model(request)
    e2e = flag(request, "e2e", False)
    nothing = "You must provide some stories in the request body in order to evaluate your model."
    stories = stories_of(await text_of_body(request, nothing))
    report = await _beside_turns(assistant, lambda judged: evaluate_stories(judged, stories, e2e))
    return answer_json(report.to_json())


async def test_intents(request: Request) -> Response:
    """With the model that is loaded, with another one, or by training the body's own configuration in parts."""
    require_access(request)
    folds = whole(request, "cross_validation_folds", 2, 100)
    assistant = None if folds else assistant_with_model(request)
    nothing = "You must provide some nlu data in the request body in order to evaluate your model."
    text = await text_of_body(request, nothing)
    is_json = request.headers.get("content-type", "").partition(";")[0].strip().endswith("json")
    if is_json and folds:
        raise RequestError(400, "TestingError", "Cross-validation is only supported for YAML data.")
    if folds:
        return await now_or_later(request, lambda: _cross_validate(text, folds))
    examples = examples_of_json(text) if is_json else examples_of(text)
    assert assistant is not None
    return await now_or_later(request, lambda: _evaluate_intents(request, assistant, examples))


async def _evaluate_intents(request: Request, assistant: Assistant, examples: Sequence[Example]) -> Response:
    name, project = request.query_params.get("model"), serving_of(request).project
    if name and project:
        place = place_of(name, project)
        try:
            assistant = await asyncio.to_thread(open_model, project, place, MemoryStore())
        except FrontdeskError as error:
            raise ModelError(f"Loaded model file not found. {error}") from error
        report = await evaluate_nlu(assistant, examples)
        assistant.understanding.close()
    else:
        report = await _beside_turns(assistant, lambda judged: evaluate_nlu(judged, examples))
    return answer_json(report.to_json())


async def _beside_turns(assistant: Assistant, judge: Callable[[Assistant], Coroutine[Any, Any, T]]) -> T:
    """Judge in a thread of its own, so that conversations go on; texts are read where all texts are."""
    judged = copy.copy(assistant)
    judged.understanding = cast(Understanding, _Elsewhere(assistant.understanding, asyncio.get_running_loop()))
    return await asyncio.to_thread(lambda: asyncio.run(judge(judged)))


class _Elsewhere:
    """An understanding that belongs to another event loop."""

    def __init__(self, understanding: Understanding, loop: asyncio.AbstractEventLoop) -> None:
        self._understanding = understanding
        self._loop = loop

    async def parse(self, text: str) -> Parse:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._understanding.parse(text), self._loop))


async def _cross_validate(text: str, folds: int) -> Response:
    with tempfile.TemporaryDirectory(prefix="frontdesk-") as folder:
        root = Path(folder)
        try:
            write_project(text, root)
            report = await asyncio.to_thread(lambda: cross_validate(read_project(root), folds))
        except (DataError, ProjectErrors) as error:
            raise RequestError(400, "TestingError", without_folder(str(error), root)) from error
    return answer_json(report.to_json())


# ---- the data ------------------------------------------------------------------------------------


def stories_of(text: str) -> list[Story]:
    problems, fields = _fields(text)
    stories = read_stories(fields.data.get("stories"), fields.source("stories"), problems)
    _check(problems)
    return stories


def examples_of(text: str) -> list[Example]:
    problems, fields = _fields(text)
    reader = NluReader(problems)
    reader.read(fields.data.get("nlu"), fields.source("nlu"))
    _check(problems)
    return reader.examples


def examples_of_json(text: str) -> list[Example]:
    problems = Problems(strict=False)
    reader = NluReader(problems)
    with tempfile.TemporaryDirectory(prefix="frontdesk-") as folder:
        file = Path(folder) / f"{BODY}.json"
        file.write_text(text, "utf-8")
        NluJsonReader(reader, Path(folder), "en").read(file)
        _check(problems, Path(folder))
    if not reader.examples:
        raise bad_request(
            "The body has no examples in a format that is known: rasa_nlu_data, LUIS, Wit.ai or Dialogflow."
        )
    return reader.examples


def _fields(text: str) -> tuple[Problems, Fields]:
    problems = Problems(strict=False)
    content = parse_yaml(text, BODY, problems)
    if problems.errors:
        raise not_yaml(problems.errors[0]) from problems.errors[0]
    fields = Fields(content, Source(BODY, 1), "the body", problems)
    _check(problems)
    return problems, fields


def _check(problems: Problems, folder: Path | None = None) -> None:
    if problems.errors:
        message = str(ProjectErrors(problems.errors))
        message = without_folder(message, folder) if folder else message
        raise RequestError(400, "BadRequest", message, help=f"{RASA_DOCS}/training-data-format")
