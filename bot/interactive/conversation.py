"""A conversation whose every step can be taken back, and what a person corrected in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bot.assistant import Assistant
from bot.events import (
    ActionExecuted,
    ActionExecutionRejected,
    BotUttered,
    Event,
    UserUttered,
)
from bot.interfaces import Prediction
from bot.messages import BotMessage, Entity, UserMessage
from bot.payloads import read_payload
from bot.tracker import LISTEN, Tracker

BY_HAND = "interactive"
"""The policy of an action that a person chose."""


@dataclass(slots=True)
class Conversation:
    """The one that goes on, and `earlier` ones that were left by starting afresh or forking.

    `steps` are the numbers of events before each message and action. `new_responses` are texts of actions
    (`utter_…`) that a person made up.
    """

    assistant: Assistant
    conversation_id: str
    tracker: Tracker
    steps: list[int] = field(default_factory=list)
    earlier: list[list[Event]] = field(default_factory=list)
    new_responses: dict[str, str] = field(default_factory=dict)

    @staticmethod
    async def begin(assistant: Assistant, conversation_id: str) -> Conversation:
        conversation = Conversation(assistant, conversation_id, Tracker.new(conversation_id, assistant.domain))
        await assistant.start_session_if_due(conversation.tracker)
        return conversation

    @property
    def message(self) -> UserMessage:
        return UserMessage(sender_id=self.conversation_id.partition(":")[2], channel="cmdline")

    @property
    def listens(self) -> bool:
        """Whether it is the person's turn to say something; always, while a human agent has the conversation."""
        if self.tracker.paused:
            return True
        latest = next(
            event for event in reversed(self.tracker.events) if isinstance(event, UserUttered | ActionExecuted)
        )
        return isinstance(latest, ActionExecuted) and latest.name == LISTEN

    # ---- going on ----

    async def hear(self, text: str) -> UserUttered:
        """What the bot understands; nothing is taken in yet."""
        payload = text if text.startswith("/") else None
        message = UserMessage(text=text, payload=payload, channel="cmdline")
        return await self.assistant.hear(message, self.tracker)

    async def take_in(self, uttered: UserUttered) -> None:
        self.steps.append(len(self.tracker.events))
        self.tracker.apply(uttered)
        self.tracker.apply_all(await self.assistant.actions.run("action_extract_slots", self.tracker))

    async def run(self, prediction: Prediction) -> list[Event]:
        """Run an action; all that came of it."""
        before = len(self.tracker.events)
        self.steps.append(before)
        loop = self.tracker.active_loop_name
        if prediction.policy == BY_HAND and loop and prediction.action not in (loop, LISTEN):
            self.tracker.apply(ActionExecutionRejected(name=loop))
        if self.assistant.actions.has(prediction.action):
            await self.assistant.execute(prediction, self.tracker, self.message)
        else:
            self.tracker.apply(ActionExecuted(name=prediction.action, policy=BY_HAND, confidence=1.0))
            said = self.new_responses.get(prediction.action)
            if said:
                self.tracker.apply(BotUttered.of(BotMessage(text=said, metadata={"utter_action": prediction.action})))
        return self.tracker.events[before:]

    # ---- going back ----

    def undo(self) -> str:
        """Take back the latest message or action, and say what it was."""
        if not self.steps:
            return "nothing"
        at = self.steps.pop()
        taken = next(event for event in self.tracker.events[at:] if isinstance(event, UserUttered | ActionExecuted))
        self._go_back(at)
        return f"'{taken.text}'" if isinstance(taken, UserUttered) else f"'{taken.name or taken.action_text}'"

    async def start_afresh(self) -> None:
        """Keep what was said as a story of its own, and begin anew."""
        self._keep()
        self.tracker = Tracker.new(self.conversation_id, self.assistant.domain)
        self.steps = []
        await self.assistant.start_session_if_due(self.tracker)

    def messages(self) -> list[tuple[int, str]]:
        """Where this conversation can be forked: the step's number, and what was said there."""
        return [
            (number, event.text or "")
            for number, at in enumerate(self.steps)
            if isinstance(event := self.tracker.events[at], UserUttered)
        ]

    def fork(self, step: int) -> None:
        """Keep what was said as a story of its own, and go on from before that step."""
        self._keep()
        at = self.steps[step]
        self.steps = self.steps[:step]
        self._go_back(at)

    def _keep(self) -> None:
        if any(isinstance(event, UserUttered) for event in self.tracker.events):
            self.earlier.append(list(self.tracker.events))

    def _go_back(self, at: int) -> None:
        events = self.tracker.events[:at]
        self.tracker = Tracker.new(self.conversation_id, self.assistant.domain)
        self.tracker.apply_all(events)

    @property
    def all_events(self) -> list[list[Event]]:
        """One list for each story."""
        return [*self.earlier, list(self.tracker.events)]


def corrected(uttered: UserUttered, intent: str, text: str, entities: tuple[Entity, ...]) -> UserUttered:
    """The message as a person says that it must be understood."""
    parse: dict[str, Any] = {
        "text": text,
        "intent": {"name": intent.split("/")[0], "confidence": 1.0},
        "intent_ranking": [{"name": intent.split("/")[0], "confidence": 1.0}],
        "entities": [entity.to_json() for entity in entities],
    }
    if "/" in intent:
        base = intent.split("/")[0]
        chosen = {"response": {"intent_response_key": intent, "utter_action": f"utter_{intent}", "confidence": 1.0}}
        parse["response_selector"] = {"all_retrieval_intents": [base], base: chosen}
    if uttered.parse_data.get("language"):
        parse["language"] = uttered.parse_data["language"]
    return UserUttered(text=text, parse_data=parse, input_channel=uttered.input_channel, message_id=uttered.message_id)


def is_payload(uttered: UserUttered, assistant: Assistant) -> bool:
    """Whether it says what it means by itself."""
    return bool(uttered.text and uttered.text.startswith("/") and read_payload(uttered.text, assistant.domain))
