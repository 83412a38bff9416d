"""One customer across channels: what a conversation knows of the others that are the same customer's.

A conversation may be the guest of another, its host: what the customer writes to the guest is then answered in the
host. All of this is a fold over `IdentityChanged` events; what is done about it stands in bot/joining.py.

| `change`       | `data`                              | what happened                                              |
|----------------|-------------------------------------|------------------------------------------------------------|
| `code`         | `key`, `conversation_id`, `expires` | a code was made that opens this conversation to a guest    |
| `code_used`    | `by`                                | it was used, and opens nothing any more                    |
| `refused`      |                                     | a code was entered here that opens nothing                 |
| `joined`       | `host`, `since`                     | it is the guest of `host`, which had so many events then   |
| `left`         | `host`                              | it is on its own again                                     |
| `guest_joined` | `guest`                             | another conversation is the guest of this one              |
| `guest_left`   | `guest`                             | it no longer is                                            |
| `passed_on`    | `message_id`, `host`, `as`, `kind`  | a message is taken in the host, under the id `as`          |
| `trust`        | `trust`                             | the customer now writes on a channel that is trusted so    |
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.events import IdentityChanged, SlotSet, UserUttered
from bot.messages import EMPTY

MOST_REFUSED = 5
"""Codes that open nothing, entered in one conversation within `FORGIVEN` seconds: then none is looked at."""
FORGIVEN = 3600.0


@dataclass(frozen=True, slots=True)
class Code:
    """Opens `conversation_id` to one guest until `expires` (seconds since 1970). `key` names its record."""

    key: str
    conversation_id: str
    expires: float
    used_by: str | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """`since` counts the events that the `host` had when this conversation joined it; `changes`, joining and leaving.

    `latest` is the guest who wrote last, None when that was the host's own customer. `refused` are the times (seconds
    since 1970) of the latest codes that opened nothing. `trust` is that of the channel on which the customer wrote
    last, None while all came on the conversation's own. `kept` are values of sensitive slots that were given on
    channels of another trust: slot → value by trust (as text, as JSON has it).
    """

    host: str | None = None
    since: int = 0
    changes: int = 0
    guests: tuple[str, ...] = ()
    latest: str | None = None
    code: Code | None = None
    refused: tuple[float, ...] = ()
    trust: int | None = None
    kept: Mapping[str, Mapping[str, Any]] = EMPTY

    def may_try(self, now: float) -> bool:
        """Whether another code may be entered here."""
        return sum(now - at < FORGIVEN for at in self.refused) < MOST_REFUSED

    def after(self, event: IdentityChanged) -> Identity:
        """With the event taken in. What lacks its data changes nothing."""
        data = event.data
        match event.change, dict(data):
            case "code", {"key": str(key), "conversation_id": str(opens), "expires": int() | float() as expires}:
                return dataclasses.replace(self, code=Code(key, opens, expires))
            case "code_used", {"by": str(by)} if self.code:
                return dataclasses.replace(self, code=dataclasses.replace(self.code, used_by=by))
            case "refused", _:
                return dataclasses.replace(self, refused=(*self.refused, event.timestamp)[-MOST_REFUSED:])
            case "joined", {"host": str(host)}:
                # Its own guests move on with it.
                since, changes = data.get("since", 0), self.changes + 1
                return dataclasses.replace(
                    self, host=host, since=since, changes=changes, guests=(), latest=None, code=None
                )
            case "left", _:
                return dataclasses.replace(self, host=None, changes=self.changes + 1)
            case "guest_joined", {"guest": str(guest)}:
                others = (one for one in self.guests if one != guest)
                return dataclasses.replace(self, guests=(*others, guest), code=None)
            case "guest_left", {"guest": str(guest)}:
                latest = self.latest if self.latest != guest else None
                others = (one for one in self.guests if one != guest)
                return dataclasses.replace(self, guests=tuple(others), latest=latest)
            case "trust", {"trust": int(trust)}:
                return dataclasses.replace(self, trust=trust)
        return self

    def after_message(self, message: UserUttered) -> Identity:
        """With a message of the customer's taken in; who sent it stands in its metadata (see `passed_on`)."""
        origin = message.metadata.get("joined")
        guest = origin.get("from") if isinstance(origin, Mapping) else None
        latest = guest if guest in self.guests else None
        return self if latest == self.latest else dataclasses.replace(self, latest=latest)

    def after_slot(self, event: SlotSet, before: Any) -> Identity:
        """With a sensitive slot set, which had the value `before`.

        When the trust changes (`trust` in the event's metadata), that value is kept for the way back. What is emptied
        otherwise is used up, and comes back on no channel.
        """
        change = event.metadata.get("trust")
        values = dict(self.kept.get(event.name, EMPTY))
        if isinstance(change, Mapping):
            values.pop(str(change.get("to")), None)
            values[str(change.get("from"))] = before
        elif event.value is None:
            values = {}
        values = {trust: value for trust, value in values.items() if value is not None}
        others = {name: kept for name, kept in self.kept.items() if name != event.name}
        return dataclasses.replace(self, kept={**others, event.name: values} if values else others)

    def without_kept(self) -> Identity:
        """As all slots are emptied: nothing of them comes back."""
        return dataclasses.replace(self, kept=EMPTY) if self.kept else self

    def to_json(self) -> dict[str, Any]:
        return {
            "host": self.host,
            "since": self.since,
            "changes": self.changes,
            "guests": self.guests,
            "latest": self.latest,
            "code": dataclasses.asdict(self.code) if self.code else None,
            "refused": self.refused,
            "trust": self.trust,
            "kept": self.kept,
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Identity:
        code = data["code"]
        lists = {name: tuple(data[name]) for name in ("guests", "refused")}
        return Identity(**{**data, **lists, "code": Code(**code) if code else None})


ALONE = Identity()
