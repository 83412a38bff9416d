"""Models in a cloud's storage: `aws`, `gcs` and `azure`, addressed by the same environment variables as in Rasa.

Source: https://rasa.com/docs/rasa/model-storage#load-model-from-cloud
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from bot.errors import ConfigError, FrontdeskError, MissingExtra, ModelError, UnknownName

Download = Callable[[Mapping[str, str], str, Path], None]
"""Given the settings, a name in the storage, and the file to write."""


def _aws(settings: Mapping[str, str], name: str, file: Path) -> None:
    try:
        import boto3
        import boto3.exceptions
        import botocore.exceptions
    except ImportError as error:
        raise MissingExtra("--remote-storage aws", "aws") from error
    bucket = _setting(settings, "BUCKET_NAME")
    try:
        boto3.client("s3", endpoint_url=settings.get("AWS_ENDPOINT_URL")).download_file(bucket, name, str(file))
    except (
        boto3.exceptions.Boto3Error,
        botocore.exceptions.BotoCoreError,
        botocore.exceptions.ClientError,
        OSError,
        ValueError,
    ) as error:
        raise _not_there(f"s3://{bucket}/{name}", error) from error


def _gcs(settings: Mapping[str, str], name: str, file: Path) -> None:
    try:
        import google.api_core.exceptions
        import google.auth.exceptions
        import google.cloud.storage
    except ImportError as error:
        raise MissingExtra("--remote-storage gcs", "gcs") from error
    bucket = _setting(settings, "BUCKET_NAME")
    try:
        google.cloud.storage.Client().bucket(bucket).blob(name).download_to_filename(str(file))
    except (google.api_core.exceptions.GoogleAPIError, google.auth.exceptions.GoogleAuthError, OSError) as error:
        raise _not_there(f"gs://{bucket}/{name}", error) from error


def _azure(settings: Mapping[str, str], name: str, file: Path) -> None:
    try:
        import azure.core.credentials
        import azure.core.exceptions
        import azure.storage.blob
    except ImportError as error:
        raise MissingExtra("--remote-storage azure", "azure") from error
    container, account = _setting(settings, "AZURE_CONTAINER"), _setting(settings, "AZURE_ACCOUNT_NAME")
    address = settings.get("AZURE_ENDPOINT_URL") or f"https://{account}.blob.core.windows.net/"
    try:
        key = azure.core.credentials.AzureNamedKeyCredential(account, _setting(settings, "AZURE_ACCOUNT_KEY"))
        service = azure.storage.blob.BlobServiceClient(address, credential=key)
        with file.open("wb") as out:
            service.get_container_client(container).download_blob(name).readinto(out)
    except (azure.core.exceptions.AzureError, OSError, ValueError) as error:
        raise _not_there(f"{address}{container}/{name}", error) from error


STORAGES: Mapping[str, Download] = {"aws": _aws, "gcs": _gcs, "azure": _azure}


def download(storage: str, settings: Mapping[str, str], name: str, folder: Path) -> Path:
    """Fetch the model `name` into the folder. A `FrontdeskError` says what is missing or what went wrong."""
    if storage not in STORAGES:
        raise UnknownName("remote storage", storage, STORAGES)
    if not name:
        raise ConfigError("a remote storage needs the model's name there: --model, or 'model_file'")
    name = name if name.endswith(".tar.gz") else f"{name}.tar.gz"
    file = folder / Path(name).name
    STORAGES[storage](settings, name, file)
    return file


def _setting(settings: Mapping[str, str], name: str) -> str:
    if not settings.get(name):
        raise ConfigError(f"a remote storage needs the environment variable {name}")
    return settings[name]


def _not_there(place: str, error: Exception) -> FrontdeskError:
    return ModelError(f"the model {place} cannot be had: {type(error).__name__}: {error}"[:500])
