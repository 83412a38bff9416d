"""`POST /model/train`: a model from a text, while the bot goes on with the one that it has."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from bot.api.callbacks import now_or_later
from bot.api.parameters import flag, serving_of, whole
from bot.errors import DataError, FrontdeskError, ModelError
from bot.http import RASA_DOCS, RequestError, bad_request, read_body, require_access
from bot.model_archive import SUFFIX, pack
from bot.serving import Serving, read_project
from bot.training import models_folder
from bot.training_process import TrainingFailed, train_apart, without_folder, write_project

LARGEST_DATA = 50_000_000
"""Bytes of training data."""


async def train(request: Request) -> Response:
    require_access(request)
    keep = flag(request, "save_to_default_model_directory", True)
    flag(request, "force_training", False)
    whole(request, "augmentation", 0)
    whole(request, "num_threads", 1)
    text = await text_of_body(
        request, "You must provide training data in the request body in order to train your model."
    )
    return await now_or_later(request, lambda: _train(serving_of(request), text, keep))


async def _train(serving: Serving, text: str, keep: bool) -> Response:
    serving.training_jobs += 1
    try:
        with tempfile.TemporaryDirectory(prefix="frontdesk-") as folder:
            return await _train_in(Path(folder), serving, text, keep)
    except TrainingFailed as error:
        raise RequestError(400, "TrainingError", f"The data cannot be trained on:\n{error}") from error
    except ModelError as error:
        raise RequestError(500, "TrainingError", f"An unexpected error occurred during training: {error}") from error
    finally:
        serving.training_jobs -= 1


async def _train_in(folder: Path, serving: Serving, text: str, keep: bool) -> Response:
    project = folder / "project"
    project.mkdir()
    try:
        write_project(text, project)
    except DataError as error:
        raise not_yaml(error) from error
    try:
        # Most mistakes are found in a moment, without a process.
        await asyncio.to_thread(read_project, project)
    except FrontdeskError as error:
        raise TrainingFailed(without_folder(str(error), project)) from error
    model = await train_apart(project, serving.project.root if serving.project else None)
    archive = folder / f"{model.name}{SUFFIX}"
    await asyncio.to_thread(pack, project, model, archive)
    if keep and serving.project:
        kept = models_folder(serving.project) / archive.name
        kept.parent.mkdir(exist_ok=True)
        await asyncio.to_thread(shutil.copyfile, archive, kept)
    content = await asyncio.to_thread(archive.read_bytes)
    headers = {"filename": archive.name, "Content-Disposition": f'attachment; filename="{archive.name}"'}
    return Response(content, media_type="application/x-tar", headers=headers)


async def text_of_body(request: Request, nothing: str) -> str:
    """The body as text; 400, with `nothing` for an empty one."""
    body = await read_body(request, LARGEST_DATA)
    if not body.strip():
        raise bad_request(nothing)
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise bad_request("The body must be UTF-8.") from error


def not_yaml(error: FrontdeskError) -> RequestError:
    message = f"The request body does not contain valid YAML. Error: {error}"
    return RequestError(400, "BadRequest", message, help=f"{RASA_DOCS}/training-data-format")
