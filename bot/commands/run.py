"""`frontdesk run`: serve the bot; `frontdesk run actions`: serve its custom actions to another bot."""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.commands import DebugOption, ProjectOption, load, open_assistant, train_model
from bot.errors import ConfigError, UnknownName

if TYPE_CHECKING:
    from bot.assistant import Assistant
    from bot.model_server import ModelServer
    from bot.project import Project
    from bot.serving import Serving

app = typer.Typer()
group = typer.Typer(name="run", invoke_without_command=True)
app.add_typer(group)

CorsOption = Annotated[
    list[str] | None,
    typer.Option("--cors", help="An origin whose pages may call; `*` for any. May be given several times."),
]
CertificateOption = Annotated[
    Path | None, typer.Option("--ssl-certificate", help="The certificate (PEM) to serve HTTPS with.")
]
KeyOption = Annotated[Path | None, typer.Option("--ssl-keyfile", help="The certificate's key (PEM).")]
PasswordOption = Annotated[str | None, typer.Option("--ssl-password", help="The key's password, if it has one.")]


WorkersOption = Annotated[
    int,
    typer.Option("--workers", help="Processes. More than one share their conversations in Redis or PostgreSQL.", min=1),
]


@group.callback(epilog="Example: `frontdesk run --port 8080 --auth-token $TOKEN --cors https://my-bank.example`")
def run(
    context: typer.Context,
    project: ProjectOption = Path("."),
    model: Annotated[
        Path | None,
        typer.Option(
            "--model", "-m", help="A model's folder or archive, or one of several. Default: that for the present data."
        ),
    ] = None,
    interface: Annotated[str, typer.Option("--interface", "-i", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", "-p", help="The port to listen on.", min=0, max=65535)] = 5005,
    enable_api: Annotated[
        bool, typer.Option("--enable-api/--no-api", help="Serve /model, /conversations and /docs, too.")
    ] = True,
    auth_token: Annotated[
        str | None,
        typer.Option("--auth-token", "-t", help="What API callers must send as `Authorization: Bearer …`."),
    ] = None,
    jwt_secret: Annotated[
        str | None,
        typer.Option("--jwt-secret", help="The secret, or the public key (PEM), of callers' JSON Web Tokens."),
    ] = None,
    jwt_method: Annotated[str, typer.Option("--jwt-method", help="How these are signed.")] = "HS256",
    jwt_private_key: Annotated[
        str | None, typer.Option("--jwt-private-key", help="As in Rasa; not needed, for no tokens are issued.")
    ] = None,
    cors: CorsOption = None,
    endpoints: Annotated[
        Path | None, typer.Option("--endpoints", help="Rasa's endpoints file.", show_default="endpoints.yml")
    ] = None,
    credentials: Annotated[
        Path | None, typer.Option("--credentials", help="Rasa's credentials file.", show_default="credentials.yml")
    ] = None,
    connector: Annotated[str | None, typer.Option("--connector", help="Serve this channel alone.")] = None,
    remote_storage: Annotated[
        str | None, typer.Option("--remote-storage", help="Where --model is: aws, gcs or azure.")
    ] = None,
    response_timeout: Annotated[
        float, typer.Option("--response-timeout", help="Seconds that an answer may take.", min=0.1)
    ] = 3600,
    request_timeout: Annotated[
        float, typer.Option("--request-timeout", help="Seconds that a request may take to arrive.", min=0.1)
    ] = 300,
    workers: WorkersOption = 1,
    pages_only: Annotated[
        bool,
        typer.Option("--pages-only", help="Accept messages and leave the turns to `frontdesk run worker`; no API."),
    ] = False,
    ssl_certificate: CertificateOption = None,
    ssl_keyfile: KeyOption = None,
    ssl_ca_file: Annotated[Path | None, typer.Option("--ssl-ca-file", help="Who signed the certificate (PEM).")] = None,
    ssl_password: PasswordOption = None,
    log_file: Annotated[Path | None, typer.Option("--log-file", help="Write the log to this file, too.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Log errors alone.")] = False,
    debug: DebugOption = False,
) -> None:
    """Serve the bot: web chat on `/`, REST on `/webhooks/rest/webhook`, the API's description on `/docs`.

    Trains first when there is no model.
    """
    if context.invoked_subcommand:
        return
    write_log(log_file, quiet=quiet)
    from bot.access import check_jwt
    from bot.app import Limits, Tls, listen, open_channels, ready_line, serve
    from bot.processes import is_one_of_several, run_several
    from bot.serving import for_pages_alone, model_server_of
    from bot.training import open_store

    tls = Tls(ssl_certificate, ssl_keyfile, ssl_password, ssl_ca_file) if ssl_certificate else None
    if tls:
        tls.check()
    if jwt_secret:
        check_jwt(jwt_secret, jwt_method)
    loaded = load(project, endpoints=endpoints, credentials=credentials)
    if (workers > 1 or pages_only) and not is_one_of_several():
        check_shared(loaded, workers + pages_only)
    if workers > 1 and not is_one_of_several():
        if not pages_only:
            prepare(loaded, model, remote_storage)
        with listen(interface, port) as listener:
            run_several(workers, listener, ready_line(listener, interface, tls))
        return
    channels = open_channels(channels_of(loaded, connector))
    if pages_only:
        assistant, model_file = for_pages_alone(loaded, open_store(loaded)), ""
    else:
        assistant, model_file = open_served(loaded, model, remote_storage)
    serve(
        assistant,
        channels,
        connector=connector,
        host=interface,
        port=port,
        cors=cors or (),
        auth_token=auth_token,
        jwt_secret=jwt_secret,
        jwt_method=jwt_method,
        enable_api=enable_api and not pages_only,
        model_file=model_file,
        project=loaded,
        model_server=None if pages_only else model_server_of(loaded),
        limits=Limits(request_timeout, response_timeout),
        tls=tls,
    )


@group.command(epilog="Example: `frontdesk run worker --workers 4`, on a machine that reaches the same Redis")
def worker(
    project: ProjectOption = Path("."),
    model: Annotated[
        Path | None,
        typer.Option(
            "--model", "-m", help="A model's folder or archive, or one of several. Default: that for the present data."
        ),
    ] = None,
    endpoints: Annotated[
        Path | None, typer.Option("--endpoints", help="Rasa's endpoints file.", show_default="endpoints.yml")
    ] = None,
    credentials: Annotated[
        Path | None, typer.Option("--credentials", help="Rasa's credentials file.", show_default="credentials.yml")
    ] = None,
    remote_storage: Annotated[
        str | None, typer.Option("--remote-storage", help="Where --model is: aws, gcs or azure.")
    ] = None,
    workers: WorkersOption = 1,
    log_file: Annotated[Path | None, typer.Option("--log-file", help="Write the log to this file, too.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Log errors alone.")] = False,
    debug: DebugOption = False,
) -> None:
    """Answer what other processes have accepted, and deliver the replies; serves no pages.

    For more turns at once than one machine takes: any number of these work on the same Redis or PostgreSQL.
    """
    write_log(log_file, quiet=quiet)
    from bot.app import open_channels
    from bot.brokers import open_broker
    from bot.processes import is_one_of_several, run_several
    from bot.serving import Serving, model_server_of
    from bot.worker import run_worker

    loaded = load(project, endpoints=endpoints, credentials=credentials)
    if not is_one_of_several():
        check_shared(loaded, workers + 1)
        if workers > 1:
            prepare(loaded, model, remote_storage)
            run_several(workers, None, f"{workers} workers are ready")
            return
    assistant, model_file = open_served(loaded, model, remote_storage)
    server = model_server_of(loaded)
    follow = partial(_follow, server, Serving(assistant, loaded, model_file)) if server else None
    run_worker(assistant, open_channels(channels_of(loaded)), open_broker(loaded), follow)


@group.command(epilog="Example: `frontdesk run actions --port 5055 --actions lib.refunds`")
def actions(
    project: ProjectOption = Path("."),
    module: Annotated[
        str | None, typer.Option("--actions", help="The module with the actions.", show_default="actions")
    ] = None,
    interface: Annotated[str, typer.Option("--interface", "-i", help="The address to listen on.")] = "0.0.0.0",
    port: Annotated[int, typer.Option("--port", "-p", help="The port to listen on.", min=0, max=65535)] = 5055,
    cors: CorsOption = None,
    ssl_certificate: CertificateOption = None,
    ssl_keyfile: KeyOption = None,
    ssl_password: PasswordOption = None,
    debug: DebugOption = False,
) -> None:
    """Serve the project's custom actions, in rasa-sdk's protocol, to a bot elsewhere."""
    from bot.action_server import serve

    serve(
        project,
        actions=module,
        host=interface,
        port=port,
        cors=cors or (),
        ssl_certificate=ssl_certificate,
        ssl_keyfile=ssl_keyfile,
        ssl_password=ssl_password,
    )


async def _follow(server: ModelServer, serving: Serving) -> None:
    if not serving.assistant.has_model:
        await server.pull_first(serving)
    await server.keep_pulling(serving)


def check_shared(project: Project, processes: int) -> None:
    """`ConfigError` when so many processes could not share the project's conversations."""
    store = project.config.store
    if processes > 1 and store.name in ("memory", "sqlite"):
        raise ConfigError(
            f"the store '{store.name}' is one process's: several share their conversations in Redis or PostgreSQL. "
            "Set 'store' in config.yml to {type: redis, url: redis://…}",
            store.source,
        )


def prepare(project: Project, model: Path | None, storage: str | None) -> None:
    """Train once for all processes, when there is no model yet."""
    from bot.training import find_model

    if model is None and storage is None and not project.config.model_server and find_model(project) is None:
        print("There is no model for the present data yet: training.", file=sys.stderr)
        train_model(project)


def channels_of(project: Project, connector: str | None = None) -> dict[str, Mapping[str, Any]]:
    """The project's channels with their options; `connector` must be one of them, if it is named."""
    found = {channel.name: channel.options for channel in project.config.channels}
    if connector is not None and connector not in found:
        raise UnknownName("channel in credentials.yml or config.yml", connector, found)
    return found


def open_served(project: Project, model: Path | None, storage: str | None) -> tuple[Assistant, str]:
    """The assistant, and the name of its model; without a model when a model server is to send it."""
    from bot.config import storage_settings
    from bot.model_storage import download
    from bot.serving import open_model, without_model
    from bot.training import find_model, open_store

    if storage:
        with tempfile.TemporaryDirectory(prefix="frontdesk-") as folder:
            file = download(storage, storage_settings(), str(model or ""), Path(folder))
            return open_model(project, file, open_store(project)), file.name
    if model and model.is_file():
        return open_model(project, model, open_store(project)), str(model)
    if model is None and project.config.model_server:
        return without_model(open_store(project)), ""
    return open_assistant(project, model), str(model or find_model(project) or "")


def write_log(file: Path | None, *, quiet: bool) -> None:
    """Where the log goes besides the screen, and how much of it there is."""
    if quiet:
        logging.getLogger("bot").setLevel(logging.ERROR)
    if file is None:
        return
    try:
        handler = logging.FileHandler(file, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"the log file '{file}' cannot be written: {error.strerror}") from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
