"""`frontdesk run` as a process, with Rasa's options, and what is wrong with them in one line."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from cryptography.x509.oid import NameOID

from bot.errors import ConfigError
from bot.model_archive import pack
from bot.project import load_project
from bot.training import train

ACTION = """
from bot.interfaces import Action


class Note(Action):
    def name(self):
        return "action_note"

    async def run(self, dispatcher, tracker, domain):
        return []
"""
PROJECT = Path(__file__).with_name("api") / "project"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained project with an action."""
    root = tmp_path_factory.mktemp("run") / "shop"
    shutil.copytree(PROJECT, root, ignore=shutil.ignore_patterns("models"))
    (root / "actions.py").write_text(ACTION)
    train(load_project(root))
    return root


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with cert.pem, which is its own authority, and key.pem, whose password is `sesame`."""
    folder = tmp_path_factory.mktemp("tls")
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "shop")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(private, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    secret = BestAvailableEncryption(b"sesame")
    (folder / "key.pem").write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret))
    return folder


@contextlib.contextmanager
def frontdesk(folder: Path, *words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`frontdesk run …` in the folder, and the first line that it says."""
    command = [sys.executable, "-m", "bot.cli", "run", *words, "--port", "0"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            assert process.stdout
            yield process, process.stdout.readline().rstrip("\n")
        finally:
            process.send_signal(signal.SIGINT)


def address(line: str) -> str:
    return line.removeprefix("Frontdesk is ready at ").replace("localhost", "127.0.0.1")


def complaint(folder: Path, *words: str) -> str:
    command = [sys.executable, "-m", "bot.cli", "run", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    return done.stderr.splitlines()[-1]


def test_rasas_options_are_understood_all_together(shop: Path, key: Path, tmp_path: Path) -> None:
    (tmp_path / "ends.yml").write_text("action_endpoint:\n  url: http://localhost:5055/webhook\n")
    (tmp_path / "creds.yml").write_text("rest:\n")
    words = ["--enable-api", "--cors", "*", "-t", "secret", "--jwt-secret", "s" * 32, "--jwt-method", "HS256", "-vv"]
    words += ["--endpoints", f"{tmp_path}/ends.yml", "--credentials", f"{tmp_path}/creds.yml", "--connector", "rest"]
    words += ["--response-timeout", "60", "--request-timeout", "30", "--log-file", f"{tmp_path}/bot.log"]
    words += ["--ssl-certificate", f"{key}/cert.pem", "--ssl-keyfile", f"{key}/key.pem", "--ssl-password", "sesame"]
    with frontdesk(shop, *words, "--ssl-ca-file", f"{key}/cert.pem") as (_, line):
        assert line.startswith("Frontdesk is ready at https://localhost:")
        trust = ssl.create_default_context(cafile=str(key / "cert.pem"))
        with httpx.Client(base_url=address(line), verify=trust) as client:
            headers = {"Authorization": "Bearer secret"}
            assert client.get("/status", headers=headers).status_code == 200
            said = client.post("/webhooks/rest/webhook", json={"message": "bye"}).json()
            assert said[0]["text"] == "Until tomorrow."
            assert client.get("/webhooks/webchat/").status_code == 404
    log = (tmp_path / "bot.log").read_text()
    assert "utter_goodbye" in log
    assert "secret" not in log


def test_an_archive_is_served(shop: Path, tmp_path: Path) -> None:
    pack(shop, train(load_project(shop)), tmp_path / "shop.tar.gz")
    with frontdesk(shop, "--model", f"{tmp_path}/shop.tar.gz", "--no-api") as (_, line):
        said = httpx.post(f"{address(line)}/webhooks/rest/webhook", json={"message": "bye"}).json()
        assert said[0]["text"] == "Until tomorrow."


def test_the_actions_are_served_alone(shop: Path) -> None:
    with frontdesk(shop, "actions", "--cors", "*", "-i", "127.0.0.1") as (_, line):
        served = line.removeprefix("Actions are served at ").removesuffix("/webhook")
        answer = httpx.get(f"{served}/actions")
        assert answer.json() == [{"name": "action_note"}]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--jwt-secret", "x", "--jwt-method", "RS256"], "--jwt-secret is no key for RS256: it must be the public key"),
        (["--jwt-secret", "x", "--jwt-method", "HS"], "there is no --jwt-method called 'HS'."),
        (["--ssl-certificate", "no.pem"], "the certificate 'no.pem' and its key cannot be used: No such file or dir"),
        (["--connector", "rset"], "there is no channel in credentials.yml or config.yml called 'rset'. Did you mean"),
        (["--endpoints", "no.yml"], "there is no file 'no.yml'"),
        (["--credentials", "no.yml"], "there is no file 'no.yml'"),
        (["--log-file", "no/bot.log"], "the log file 'no/bot.log' cannot be written: No such file or directory"),
        (["--remote-storage", "s3", "-m", "x"], "there is no remote storage called 's3'. Known: aws, azure, gcs."),
        (["--remote-storage", "aws"], "a remote storage needs the model's name there: --model, or 'model_file'"),
        (["--model", "no.tar.gz"], "there is no model folder 'no.tar.gz'. Run: frontdesk train"),
        (["actions", "--actions", "none.such"], "none.such"),
    ],
)
def test_what_is_wrong_is_one_line(
    shop: Path, words: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from bot import cli

    monkeypatch.chdir(shop)
    monkeypatch.setattr(sys, "argv", ["frontdesk", "run", *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    (line,) = [one for one in capsys.readouterr().err.splitlines() if one.startswith("error: ")]
    assert end.value.code == 2
    assert message in line


def test_a_key_whose_password_is_wrong_is_one_clear_error(key: Path) -> None:
    from bot.app import Tls

    Tls(key / "cert.pem", key / "key.pem", "sesame").check()
    for password in (None, "wrong"):
        with pytest.raises(ConfigError, match=r"cannot be used: .*Check --ssl-certificate"):
            Tls(key / "cert.pem", key / "key.pem", password).check()


def test_models_of_endpoints_yml_are_asked_for(shop: Path, tmp_path: Path) -> None:
    ends = tmp_path / "endpoints.yml"
    ends.write_text("models:\n  url: ftp://models.example\n")
    assert complaint(shop, "--endpoints", str(ends)).endswith(
        "the 'url' of a model server must be like http://models.example/bot.tar.gz"
    )
    ends.write_text("models:\n  url: http://127.0.0.1:9\n  wait_time_between_pulls: 1000\n")
    with frontdesk(shop, "--endpoints", str(ends)) as (process, line):
        answer = httpx.post(f"{address(line)}/webhooks/rest/webhook", json={"message": "bye"})
        assert (answer.status_code, answer.json()["reason"]) == (409, "Conflict")
        process.send_signal(signal.SIGINT)
        assert process.stderr
        assert (
            "the model server http://127.0.0.1:9 cannot be reached (ConnectError). It is asked" in process.stderr.read()
        )
