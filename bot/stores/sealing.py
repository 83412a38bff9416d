"""What a store keeps, sealed by a key of the operator's: a copy of the database tells nobody what customers said.

A sealed body is AES-256-GCM: format (1 byte), key id (4), salt (12), nonce (12), the encrypted body, its tag (16). The
place that it belongs to goes into the tag, so that it opens nowhere else. One key must not encrypt more than 2³² bodies
under random nonces (NIST SP 800-38D, 8.3), which a busy bot does in a few weeks. So the configured key encrypts none:
each `Seal` draws a salt, and encrypts with the key that HKDF makes of the two.
"""

from __future__ import annotations

import hmac
import os
import re
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING

from bot.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
FORMAT = b"\x01"
"""How a sealed body begins; JSON, which is what bodies are, never does."""
_ID, _SALT, _NONCE, _TAG = 4, 12, 12, 16
_HEAD = len(FORMAT) + _ID + _SALT
_PER_SALT = 2**30
"""Bodies that are encrypted under one salt."""
_MOST_CIPHERS = 1024
"""Salts whose keys are kept at hand: each process that ever wrote drew one."""


def new_key() -> str:
    """A random key as `encryption_keys` takes it: 32 bytes in base64."""
    return b64encode(os.urandom(KEY_BYTES)).decode()


class Seal:
    """Closes bodies with the first of `keys`, and opens them with any.

    `keys` are separated by commas, each 32 bytes in base64; without any, bodies stay as they are. What was written
    before there were keys is opened as it is, unless encryption is `required`: then it is a `StoreError`, so that
    somebody who can write into the database cannot put words into it.

    A place says what a body is and whose: `message:rest:anna`. What moves from queue to queue keeps its place.
    Several threads may use it, and it may be forked.
    """

    def __init__(self, keys: str = "", *, required: bool = False) -> None:
        self._keys = {_id_of(key): key for key in _read(keys)}
        self._required = required
        if required and not self._keys:
            raise ConfigError("'encryption_required' needs 'encryption_keys'. Make one with: frontdesk keys new")
        self._ciphers: dict[bytes, AESGCM] = {}
        self._closing = self._with_new_salt() if self._keys else None
        self._left = _PER_SALT

    def __repr__(self) -> str:
        return f"Seal({', '.join(self.key_ids)})"

    @property
    def key_ids(self) -> tuple[str, ...]:
        """What messages call the keys, the one that closes first: it is made of the key, and tells nothing of it."""
        return tuple(key_id.hex() for key_id in self._keys)

    def close(self, body: bytes, place: str) -> bytes:
        """The body as it is to be stored: 45 bytes longer when there is a key."""
        if self._closing is None:
            return body
        if self._left <= 0:
            self._closing, self._left = self._with_new_salt(), _PER_SALT
        self._left -= 1
        head, cipher = self._closing
        nonce = os.urandom(_NONCE)
        return head + nonce + cipher.encrypt(nonce, body, head + _bytes(place))

    def open(self, body: bytes, place: str) -> bytes:
        """What was closed. `StoreError` when its key is not there, or it is damaged or belongs to another place."""
        if not body.startswith(FORMAT):
            if self._required:
                raise StoreError(
                    f"what is stored as '{place}' is not encrypted, and 'encryption_required' is set. If it is from"
                    " before that, unset it, run 'frontdesk keys rotate', and set it again"
                )
            return body
        from cryptography.exceptions import InvalidTag

        head, nonce, sealed = body[:_HEAD], body[_HEAD : _HEAD + _NONCE], body[_HEAD + _NONCE :]
        if len(sealed) < _TAG:
            raise StoreError(f"what is stored as '{place}' is damaged: its end is missing")
        cipher = self._ciphers.get(head) or self._cipher(head, place)
        try:
            return cipher.decrypt(nonce, sealed, head + _bytes(place))
        except InvalidTag as error:
            message = f"what is stored as '{place}' is damaged, or belongs to another place: its key does not open it"
            raise StoreError(message) from error

    def renewed(self, body: bytes, place: str) -> bytes | None:
        """The body closed with the first key; None when that has closed it, or there are no keys."""
        if self._closing is None or body.startswith(self._closing[0][:-_SALT]):
            return None
        return self.close(self.open(body, place), place)

    def mark(self, earlier: bytes | None) -> bytes:
        """What a store keeps beside the rest, anew at each opening, to know its keys by.

        `StoreError` when these keys do not open the `earlier` one: nothing is written by somebody who cannot read.
        """
        if earlier is not None:
            self.open(earlier, "store")
        return self.close(b"{}", "store")

    def _with_new_salt(self) -> tuple[bytes, AESGCM]:
        head = FORMAT + next(iter(self._keys)) + os.urandom(_SALT)
        return head, self._cipher(head, "")

    def _cipher(self, head: bytes, place: str) -> AESGCM:
        """The cipher of the key and the salt that the head of a body names."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        key_id = head[len(FORMAT) : -_SALT]
        if key_id not in self._keys:
            known = ", ".join(self.key_ids) or "there are none"
            raise StoreError(
                f"what is stored as '{place}' was sealed with the key {key_id.hex()}, which 'encryption_keys' does"
                f" not have ({known}). Put that key back there, behind the first"
            )
        if len(self._ciphers) >= _MOST_CIPHERS:
            self._ciphers.clear()
        # HKDF-Expand of RFC 5869, one block; the configured key is random and needs no extraction.
        key = hmac.digest(self._keys[key_id], b"frontdesk seal" + head + b"\x01", "sha256")
        cipher = self._ciphers[head] = AESGCM(key)
        return cipher


def _read(keys: str) -> list[bytes]:
    texts = keys.split(",") if keys.strip() else []
    return [_read_one(text.strip(), f"key {number} of 'encryption_keys'") for number, text in enumerate(texts, start=1)]


def _read_one(text: str, name: str) -> bytes:
    """The key's bytes. Nothing of a wrong one is shown: it may be right but for a letter."""
    advice = f"A key is {KEY_BYTES} bytes in base64. Make one with: frontdesk keys new"
    # Both alphabets of base64, with and without the padding.
    if not re.fullmatch(r"[A-Za-z0-9+/_-]+={0,2}", text) or len(text.rstrip("=")) % 4 == 1:
        raise ConfigError(f"{name} is {'not base64' if text else 'empty'}. {advice}")
    bare = text.rstrip("=").translate(str.maketrans("-_", "+/"))
    key = b64decode(bare + "=" * (-len(bare) % 4))
    if len(key) != KEY_BYTES:
        raise ConfigError(f"{name} is of {len(key)} bytes. {advice}")
    return key


def _id_of(key: bytes) -> bytes:
    return hmac.digest(key, b"frontdesk key id", "sha256")[:_ID]


def _bytes(place: str) -> bytes:
    # A lone surrogate reads the same here before and after a database has kept it.
    return place.encode("utf-8", "backslashreplace")
