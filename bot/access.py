"""Who may call the HTTP API: whoever shows the server's token, or a JSON Web Token that the team's own login signed.

A JWT's payload is Rasa's: `{"user": {"username": …, "role": "admin" | "user"}}`. A user may touch one conversation,
the one with their name. Source: https://rasa.com/docs/rasa/pages/http-api#security-considerations
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.errors import ConfigError, UnknownName

SYMMETRIC = ("HS256", "HS384", "HS512")
METHODS = (*SYMMETRIC, "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA")


@dataclass(frozen=True, slots=True)
class Access:
    """`token` is the server's, `jwt_key` the shared secret or (for RS…, ES…, PS…) the public key."""

    token: str | None = field(default=None, repr=False)
    jwt_key: str | None = field(default=None, repr=False)
    jwt_method: str = "HS256"

    @property
    def is_open(self) -> bool:
        """Whether anybody may call."""
        return not self.token and not self.jwt_key

    def has_token(self, given: str) -> bool:
        """Whether this is the server's token. Nobody has it where the server has none."""
        return bool(self.token) and hmac.compare_digest(_bytes(given), _bytes(self.token or ""))

    def user(self, given: str) -> Mapping[str, Any] | None:
        """The user of a JWT that is signed and in force; None of any other."""
        if not self.jwt_key or not given:
            return None
        import jwt

        try:
            user = jwt.decode(given, self.jwt_key, algorithms=[self.jwt_method]).get("user")
        except (jwt.PyJWTError, ValueError):
            return None
        return user if isinstance(user, dict) else {}


def check_jwt(key: str, method: str) -> None:
    """`ConfigError` when the key and the method do not go together."""
    import jwt

    if method not in METHODS:
        raise UnknownName("--jwt-method", method, METHODS)
    try:
        jwt.get_algorithm_by_name(method).prepare_key(key)
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        what = "a secret that both sides share" if method in SYMMETRIC else "the public key, in PEM"
        raise ConfigError(f"--jwt-secret is no key for {method}: it must be {what}") from error


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")
