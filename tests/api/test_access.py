"""Who may call: the token, JSON Web Tokens with their roles, and what is logged of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from bot.access import Access, check_jwt
from bot.app import create_app
from bot.assistant import Assistant
from bot.errors import ConfigError, UnknownName

SECRET = "a secret of thirty-two bytes or more"
ALL_PATHS = [
    ("GET", "/status"),
    ("GET", "/domain"),
    ("PUT", "/model"),
    ("DELETE", "/model"),
    ("POST", "/model/parse"),
    ("POST", "/model/predict"),
    ("POST", "/model/train"),
    ("POST", "/model/test/stories"),
    ("POST", "/model/test/intents"),
    ("GET", "/conversations/anna/tracker"),
    ("DELETE", "/conversations/anna/tracker"),
    ("POST", "/conversations/anna/tracker/events"),
    ("PUT", "/conversations/anna/tracker/events"),
    ("GET", "/conversations/anna/story"),
    ("POST", "/conversations/anna/execute"),
    ("POST", "/conversations/anna/trigger_intent"),
    ("POST", "/conversations/anna/predict"),
    ("POST", "/conversations/anna/messages"),
    ("GET", "/conversations/anna/joined"),
    ("POST", "/conversations/anna/joined"),
    ("DELETE", "/conversations/anna/joined"),
    ("GET", "/dead-letters"),
    ("POST", "/dead-letters/1/retry"),
    ("DELETE", "/dead-letters/1"),
]


def signed(role: str = "admin", username: str = "anna", key: Any = SECRET, method: str = "HS256", **more: Any) -> str:
    return jwt.encode({"user": {"username": username, "role": role}, **more}, key, method)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
def client(running: Callable[..., Any], make: Callable[..., Assistant]) -> Iterator[httpx.Client]:
    """A server that wants its token or a JWT."""
    with (
        running(create_app(make(), auth_token="token", jwt_secret=SECRET)) as address,
        httpx.Client(base_url=address) as client,
    ):
        yield client


@pytest.mark.parametrize(("method", "path"), ALL_PATHS)
def test_every_path_wants_to_know_who_calls(client: httpx.Client, method: str, path: str) -> None:
    nobody = client.request(method, path)
    assert (nobody.status_code, nobody.json()["reason"]) == (401, "NotAuthenticated")
    other = client.request(method, path, headers=bearer(signed("user", "ben")))
    assert (other.status_code, other.json()["reason"]) == (403, "NotAuthorized")


def test_an_admin_may_do_everything_and_a_user_has_one_conversation(client: httpx.Client) -> None:
    for token in ("token", signed(), signed("user", "anna")):
        assert client.get("/conversations/anna/tracker", headers=bearer(token)).status_code == 200
    assert client.get("/status", headers=bearer(signed())).status_code == 200
    assert client.get("/status", headers=bearer(signed("user"))).status_code == 403
    assert client.get("/conversations/ben/tracker", headers=bearer(signed("user"))).status_code == 403


@pytest.mark.parametrize(
    "token",
    [
        "nonsense",
        signed(key="another secret of thirty-two bytes or so"),
        signed(exp=time.time() - 60),
        signed(aud="somebody else"),
        jwt.encode({"user": {"role": "admin"}}, None, "none"),
        signed(key=SECRET * 2, method="HS512"),
    ],
    ids=["no token", "another's", "expired", "for another", "unsigned", "another method"],
)
def test_a_token_that_is_not_in_force_is_none(client: httpx.Client, token: str) -> None:
    assert client.get("/status", headers=bearer(token)).status_code == 401


@pytest.mark.parametrize("user", [None, "anna", {"username": "anna"}, {"username": "anna", "role": "root"}])
def test_a_token_without_a_known_role_allows_nothing(client: httpx.Client, user: Any) -> None:
    token = jwt.encode({"user": user}, SECRET, "HS256")
    assert client.get("/conversations/anna/tracker", headers=bearer(token)).status_code == 403


def test_the_token_may_stand_in_the_query_as_in_rasa(client: httpx.Client) -> None:
    assert client.get("/status", params={"token": "token"}).status_code == 200
    assert client.get("/status", params={"token": "wrong"}).status_code == 401


def test_only_an_admins_payload_is_a_command(client: httpx.Client) -> None:
    def say(**headers: str) -> Any:
        body = {"sender": "carl", "message": "/buy"}
        return client.post("/webhooks/rest/webhook", json=body, headers=headers).json()

    assert say(**bearer(signed()))[0]["text"] == "It is ordered."
    assert say(**bearer(signed("user", "carl")))[0]["text"] == "Please say that in other words."
    assert say()[0]["text"] == "Please say that in other words."


def test_public_keys_are_understood(running: Callable[..., Any], make: Callable[..., Assistant]) -> None:
    key = rsa.generate_private_key(65537, 2048)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with running(create_app(make(), jwt_secret=public, jwt_method="RS256")) as address:
        token = signed(key=private, method="RS256")
        assert httpx.get(f"{address}/status", headers=bearer(token)).status_code == 200
        assert httpx.get(f"{address}/status", headers=bearer(signed())).status_code == 401


def test_a_key_that_does_not_fit_its_method_is_a_clear_error() -> None:
    with pytest.raises(ConfigError, match="--jwt-secret is no key for RS256: it must be the public key, in PEM"):
        check_jwt("secret", "RS256")
    with pytest.raises(UnknownName, match="Did you mean 'HS256'"):
        check_jwt("secret", "HS265")


def test_what_callers_show_is_never_logged(client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        for shown in ("token", "wrong", signed(), signed("user", "ben")):
            client.get("/status", headers=bearer(shown))
            client.get("/status", params={"token": shown})
            client.post("/conversations/anna/tracker/events", params={"token": shown}, content=b"{")
    told = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("bot"))
    assert "eyJ" not in told
    assert "token=" not in told
    assert repr(Access("token", SECRET)) == "Access(jwt_method='HS256')"
