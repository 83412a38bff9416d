"""A server that writes the bot's responses, in place of the domain's texts: `nlg` in endpoints.yml.

Protocol: https://rasa.com/docs/rasa/nlg
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.action_answers import read_message
from bot.endpoint import Answer, Endpoint
from bot.errors import DataError
from bot.messages import EMPTY, BotMessage
from bot.remote_actions import MOST_EVENTS
from bot.tracker import Tracker
from bot.tracker_state import tracker_state


class NLGServer:
    """The keywords are Rasa's; `timeout` is in seconds. Create it and `say` in one event loop.

    As an action server, it gets the latest events of a conversation, so that a turn costs the same at any length.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, Any] = EMPTY,
        params: Mapping[str, Any] = EMPTY,
        basic_auth: Mapping[str, Any] = EMPTY,
        token: str | None = None,
        token_name: str = "token",
        cafile: str | None = None,
        timeout: float = 10.0,
    ) -> None:
        self._server = Endpoint(
            "the NLG server",
            "nlg",
            url,
            headers=headers,
            params=params,
            basic_auth=basic_auth,
            token=token,
            token_name=token_name,
            cafile=cafile,
            timeout=timeout,
        )

    async def say(
        self, name: str, tracker: Tracker, *, values: Mapping[str, Any] = EMPTY, response_id: str | None = None
    ) -> BotMessage:
        """The response `name` as the server words it; `values` are what an action gave for its `{variables}`.

        `response_id` is that of the domain's variation which would have been chosen. `EndpointError` when the
        server does not answer, or with something that is no message.
        """
        answer = await self._server.ask(
            {
                "response": name,
                "id": response_id,
                "arguments": dict(values),
                "tracker": tracker_state(tracker, tracker.events[-MOST_EVENTS:], "ALL"),
                "channel": {"name": tracker.latest_input_channel},
            }
        )
        return self._read(answer, name)

    async def close(self) -> None:
        await self._server.close()

    def _read(self, answer: Answer, name: str) -> BotMessage:
        match answer:
            case Answer(200, dict(content)):
                return self._message(content, name)
            case Answer(200):
                raise self._server.failed("answered something that is no message")
            case _:
                raise self._server.failed(f"answered {answer.status}: its log has the reason")

    def _message(self, content: Mapping[str, Any], name: str) -> BotMessage:
        try:
            checked = read_message(content)
        except DataError as error:
            raise self._server.failed(f"answered something that is no message: {error}") from error
        known = ("text", "buttons", "quick_replies", "image", "attachment", "elements", "custom")
        more = {key: value for key, value in checked.items() if key not in known}
        return BotMessage(
            text=checked.get("text"),
            buttons=tuple(checked.get("buttons") or ()),
            quick_replies=tuple(checked.get("quick_replies") or ()),
            image=checked.get("image"),
            attachment=checked.get("attachment"),
            elements=tuple(checked.get("elements") or ()),
            custom=checked.get("custom") or EMPTY,
            metadata={**more, "utter_action": name},
        )
