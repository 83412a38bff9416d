"""`/conversations/{id}/…`: reading, changing and driving conversations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from bot import conversations, joining
from bot.api.parameters import body_of, conversation_of, flag, include_events, number
from bot.assistant import Assistant
from bot.channels.rest import write_messages
from bot.conversations import Outcome
from bot.domain import DEFAULT_INTENTS
from bot.errors import DataError, UnknownName
from bot.events import Event, IdentityChanged, event_from_json
from bot.http import RequestError, answer_json, bad_request, require_access
from bot.interfaces import Prediction
from bot.story_export import as_test_stories, sessions
from bot.tracker import Tracker
from bot.tracker_state import tracker_state

NO_EVENTS = "Failed to validate the events format: the body must be an event or a list of events."


async def read_tracker(request: Request) -> Response:
    """A conversation's state, now or at the time `until`; a new one begins with its session."""
    assistant, conversation_id = await conversation_of(request)
    include, until = include_events(request), number(request, "until")
    tracker = await conversations.begun(assistant, conversation_id)
    if until is None:
        return await _answer_state(assistant, tracker, include)
    events = await assistant.store.events(conversation_id)
    then, earlier = conversations.state_at(assistant, tracker, events, until)
    return answer_json(tracker_state(then, earlier, include))


async def delete_tracker(request: Request) -> Response:
    assistant, conversation_id = await conversation_of(request, must_exist=True)
    await joining.leave(assistant, conversation_id, is_erased=True)
    await assistant.store.delete(conversation_id)
    return Response(status_code=204)


async def add_events(request: Request) -> Response:
    assistant, conversation_id = await conversation_of(request)
    include, delivers = include_events(request), flag(request, "execute_side_effects", False)
    events = read_events(await body_of(request, "Events", NO_EVENTS))
    _require_right_to(request, events)
    if not events:
        raise bad_request("Couldn't extract a proper event from the request body.", parameter="", **{"in": "body"})
    channel = await _sending(request, assistant, conversation_id) if delivers else None
    tracker = await conversations.append(assistant, conversation_id, events, channel)
    return await _answer_state(assistant, tracker, include)


async def replace_events(request: Request) -> Response:
    assistant, conversation_id = await conversation_of(request)
    include = include_events(request)
    events = read_events(await body_of(request, "Events", NO_EVENTS))
    _require_right_to(request, events)
    tracker = await conversations.replace(assistant, conversation_id, events)
    return answer_json(tracker_state(tracker, events, include))


def _require_right_to(request: Request, events: Sequence[Event]) -> None:
    """Who may touch one conversation alone must not join it to another by its events."""
    if any(isinstance(event, IdentityChanged) for event in events):
        require_access(request)


async def read_story(request: Request) -> Response:
    """The conversation as a test story in YAML."""
    assistant, conversation_id = await conversation_of(request, must_exist=True)
    until, all_sessions = number(request, "until"), flag(request, "all_sessions", False)
    found = sessions(await assistant.store.events(conversation_id))
    kept = [[event for event in one if until is None or event.timestamp <= until] for one in found]
    name = Tracker.new(conversation_id, assistant.domain).sender_id
    return PlainTextResponse(as_test_stories(name, [one for one in kept if one] if all_sessions else kept[-1:]))


async def execute_action(request: Request) -> Response:
    assistant, conversation_id = await conversation_of(request, must_exist=True)
    include = include_events(request)
    nothing = "Name of the action not provided in request body."
    data = await body_of(request, "ActionToExecute", nothing, needs={"name": nothing})
    prediction = Prediction(data["name"], data.get("confidence") or 0.0, data.get("policy") or "")
    channel = await _sending(request, assistant, conversation_id)
    try:
        outcome = await conversations.execute(assistant, conversation_id, prediction, channel)
    except UnknownName as error:
        raise RequestError(404, "NotFound", str(error), {"parameter": "name", "in": "body"}) from error
    return await _answer_outcome(assistant, outcome, include, channel)


async def trigger_intent(request: Request) -> Response:
    assistant, conversation_id = await conversation_of(request)
    include = include_events(request)
    nothing = "Name of the intent not provided in request body."
    data = await body_of(request, "IntentToTrigger", nothing, needs={"name": nothing})
    name, entities = data["name"], data.get("entities")
    if name not in assistant.domain.intents and name not in DEFAULT_INTENTS:
        raise RequestError(404, "NotFound", f"The intent {name} does not exist in the domain.")
    channel = await _sending(request, assistant, conversation_id)
    outcome = await conversations.trigger_intent(assistant, conversation_id, name, entities, channel)
    return await _answer_outcome(assistant, outcome, include, channel)


async def predict(request: Request) -> Response:
    assistant, conversation_id = await conversation_of(request, must_exist=True)
    include = include_events(request)
    found, tracker = await conversations.predict(assistant, conversation_id)
    found["scores"].sort(key=lambda one: (-one["score"], one["action"]))
    return answer_json({**found, "tracker": await conversations.state(assistant, tracker, include)})


async def add_message(request: Request) -> Response:
    assistant, conversation_id = await conversation_of(request)
    include = include_events(request)
    nothing = "No message defined in request body. Add a message to the request body in order to add it to the tracker."
    wrong = "Currently, only user messages can be passed to this endpoint. Messages of sender 'None' cannot be handled."
    data = await body_of(request, "Message", nothing, needs={"sender": wrong})
    tracker = await conversations.hear(assistant, conversation_id, data["text"], data.get("parse_data"))
    return await _answer_state(assistant, tracker, include)


def read_events(data: Sequence[Mapping[str, Any]]) -> list[Event]:
    """The events of a body that was found to be well formed."""
    try:
        return [event_from_json(one) for one in data]
    except DataError as error:
        raise bad_request(f"Failed to validate the events format: {error}", **{"in": "body"}) from error


# ---- out -----------------------------------------------------------------------------------------


async def _answer_state(assistant: Assistant, tracker: Tracker, include: str) -> Response:
    return answer_json(await conversations.state(assistant, tracker, include))


async def _answer_outcome(assistant: Assistant, outcome: Outcome, include: str, channel: str | None) -> Response:
    body: dict[str, Any] = {"tracker": await conversations.state(assistant, outcome.tracker, include)}
    if channel is None:
        body["messages"] = write_messages(outcome.tracker.sender_id, outcome.replies)
    return answer_json(body)


async def _sending(request: Request, assistant: Assistant, conversation_id: str) -> str | None:
    """The channel of `output_channel` that is to send the replies; None when there is none that could."""
    name = request.query_params.get("output_channel")
    if name == "latest":
        name = (await assistant.tracker(conversation_id)).latest_input_channel
    channel = assistant.channels.get(name or "")
    return name if channel is not None and getattr(channel, "sends", True) else None
