"""Every error Frontdesk raises on purpose.

    FrontdeskError
    ├── ConfigError              file, line, key; what was expected
    │   ├── UnknownName          "There is no channel called 'telegrm'. Did you mean 'telegram'? …"
    │   ├── WrittenForRasa       a class of the user's that needs Rasa's own
    │   └── MissingExtra         "The telegram channel needs: pip install 'frontdesk[telegram]'"
    ├── DataError                YAML of a project: file, line, the offending value
    │   └── Contradiction        stories or rules that disagree, and the shortest prefix at which they do
    ├── ProjectErrors            several of the above, found in one reading
    ├── ModelError               no model, or one trained for another domain, or one that does not verify
    ├── ChannelError
    │   ├── InvalidSignature     401
    │   └── DeliveryError        channel, conversation, status, retry_after
    ├── ActionError              a custom action failed (its own exception is the cause)
    │   └── ActionRejected       the action declines: another policy decides (forms use it)
    ├── EndpointError            a server that endpoints.yml names gave no usable answer
    ├── LLMError
    │   ├── LLMTimeout
    │   ├── LLMRateLimited
    │   └── LLMBadReply
    └── StoreError
        ├── LeaseLost
        └── StoreUnavailable     503: the platform keeps the message
            └── StoreFull        too many messages wait

A message says what happened, where, and what to do. A vendor's exception becomes one of these in the
file that imports the vendor, nowhere else.
"""

from __future__ import annotations

import difflib
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Source:
    """Where something was written: a path as the user would type it, and a line counted from 1."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


class FrontdeskError(Exception):
    """The root: everything a user can be told in one line."""


class _Located(FrontdeskError):
    """An error at a place in a file; `str()` begins with that place."""

    def __init__(self, message: str, source: Source | None = None) -> None:
        self.message = message
        self.source = source
        super().__init__(f"{source}: {message}" if source else message)


class ConfigError(_Located):
    """A setting is missing, misspelt or of the wrong type."""


class UnknownName(ConfigError):
    """A name that no file, intent, slot, action… answers to; suggests the nearest known one."""

    def __init__(self, kind: str, name: str, known: Iterable[str], source: Source | None = None) -> None:
        self.name = name
        super().__init__(f"there is no {kind} called '{name}'.{suggest(name, known)}", source)


class WrittenForRasa(ConfigError):
    """A class of the user's that needs Rasa's own; says what to write in its place."""


class MissingExtra(ConfigError):
    """An optional package is not installed; says which extra brings it."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs: pip install 'frontdesk[{extra}]'")


class DataError(_Located):
    """A mistake in a project's YAML."""


class Contradiction(DataError):
    """Two stories or rules that ask for different actions after the same beginning; `other` is the second place."""

    def __init__(self, message: str, source: Source | None = None, other: Source | None = None) -> None:
        self.other = other
        super().__init__(message, source)


class ProjectErrors(FrontdeskError):
    """All mistakes found in one reading of a project, in file and line order."""

    def __init__(self, errors: Sequence[_Located]) -> None:
        self.errors = sorted(errors, key=lambda error: error.source or Source(""))
        super().__init__("\n".join(str(error) for error in self.errors))


class ModelError(FrontdeskError):
    """There is no model, or it belongs to another domain, or its bytes do not verify."""


class ChannelError(FrontdeskError):
    """A platform or its message could not be dealt with."""


class InvalidSignature(ChannelError):
    """A request that its platform did not sign: 401, nothing processed."""


class DeliveryError(ChannelError):
    """A reply could not be delivered. `retry_after` is in seconds, None when the platform names no delay.

    `is_final` when there is no use in trying again: the customer has left, the message is not allowed there.
    """

    def __init__(
        self, message: str, *, status: int | None = None, retry_after: float | None = None, is_final: bool = False
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
        self.is_final = is_final


class ActionError(FrontdeskError):
    """A custom action failed; its own exception is the cause."""


class ActionRejected(ActionError):
    """An action declined to run: what it would have done is for another policy to decide."""

    def __init__(self, action_name: str, message: str | None = None) -> None:
        self.action_name = action_name
        super().__init__(message or f"action '{action_name}' rejected its execution")


class EndpointError(FrontdeskError):
    """A server that endpoints.yml names gave no usable answer: which one, and what went wrong."""


class LLMError(FrontdeskError):
    """The language model gave no usable answer."""


class LLMTimeout(LLMError):
    """The language model did not answer within the deadline."""


class LLMRateLimited(LLMError):
    """The provider told us to slow down."""


class LLMBadReply(LLMError):
    """The provider answered with something that is not an answer."""


class StoreError(FrontdeskError):
    """A conversation could not be read or written."""


class LeaseLost(StoreError):
    """Another worker has taken the conversation over: this turn must not be committed."""


class StoreUnavailable(StoreError):
    """The store does not answer; the platform is asked to deliver again later."""


class StoreFull(StoreUnavailable):
    """Too many messages wait: this one was not accepted, and may come again in a moment."""


def describe(error: BaseException) -> str:
    """An exception in one line: its type and the places it came through, innermost last.

    Only our own errors' messages are told: another's could quote the customer.
    """
    told = f": {error}" if isinstance(error, FrontdeskError) else ""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    places = " > ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames)
    cause = error.__cause__
    return f"{type(error).__name__}{told} at {places}" + (f" caused by {describe(cause)}" if cause else "")


def suggest(name: str, known: Iterable[str], most: int = 12) -> str:
    """The tail of an error about an unknown name: the nearest known name, else a few of those known."""
    names = sorted(set(known))
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f" Did you mean '{near[0]}'?"
    if not names:
        return ""
    more = f", … ({len(names)} in all)" if len(names) > most else ""
    return " Known: " + ", ".join(names[:most]) + more + "."
