"""The questions of `frontdesk interactive`, from the first message to what is written in the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bot.assistant import Assistant
from bot.domain import DEFAULT_ACTIONS, DEFAULT_INTENTS
from bot.errors import FrontdeskError, Source
from bot.events import BotUttered, Event, SlotSet, UserUttered, entities_of
from bot.interactive.asking import SomethingElse, ask_text, ask_which, ask_yes
from bot.interactive.conversation import BY_HAND, Conversation, corrected, is_payload
from bot.interactive.export import (
    Learned,
    default_domain_file,
    default_story_file,
    learned,
    write_domain,
    write_examples,
    write_stories,
)
from bot.interfaces import Prediction
from bot.nlu_file import read_annotations
from bot.nlu_writing import annotated
from bot.project import Project
from bot.shell import as_text
from bot.tracker import LISTEN
from bot.yaml_file import Problems, shown

STOP = "/stop"
_NEW = "<a new one>"


class Finished(Exception):
    """The person has had enough."""


async def interactive(assistant: Assistant, project: Project, conversation_id: str, *, e2e: bool = False) -> list[Path]:
    """Talk, correct, and write what was learnt; the files that were written."""
    await assistant.start()
    conversation = await Conversation.begin(assistant, f"cmdline:{conversation_id}")
    print(f"The bot is ready. Say something; {STOP} or Ctrl-C at any question stops, undoes, forks or starts afresh.")
    try:
        while True:
            await _with_menu(conversation, project)
    except Finished:
        pass
    finally:
        await assistant.close()
    found = learned(project, conversation.all_events, conversation.new_responses, e2e=e2e)
    return await _write(found, project)


async def _with_menu(conversation: Conversation, project: Project) -> None:
    try:
        if conversation.listens:
            await _hear(conversation, project)
        else:
            await _act(conversation, project)
    except SomethingElse:
        await _menu(conversation)


async def _menu(conversation: Conversation) -> None:
    choices = [
        ("Go on", "go on"),
        ("Undo the last message or action", "undo"),
        ("Fork: go on from an earlier message", "fork"),
        ("Start afresh", "afresh"),
        ("Export and quit", "quit"),
    ]
    try:
        match await ask_which("What now?", choices):
            case "undo":
                print(f"Taken back: {conversation.undo()}")
            case "fork":
                messages = conversation.messages()
                if messages:
                    step = await ask_which("Go on from before which message?", [(said, at) for at, said in messages])
                    conversation.fork(step)
                else:
                    print("Nothing has been said yet.")
            case "afresh":
                await conversation.start_afresh()
            case "quit":
                raise Finished
            case _:
                pass
    except SomethingElse as error:
        # Ctrl-C twice.
        raise Finished from error


# ---- what the person says ----


async def _hear(conversation: Conversation, project: Project) -> None:
    text = await _button(conversation) or await ask_text("You:")
    if text == STOP:
        raise SomethingElse
    if not text:
        return
    uttered = await conversation.hear(text)
    if not is_payload(uttered, conversation.assistant):
        uttered = await _confirmed(uttered, project)
    await conversation.take_in(uttered)


async def _button(conversation: Conversation) -> str:
    """The payload of a button that the bot has just offered; nothing when there is none, or the person types."""
    buttons: list[tuple[str, str]] = []
    for event in reversed(conversation.tracker.events):
        if isinstance(event, UserUttered):
            break
        if isinstance(event, BotUttered):
            offered = (*event.message.buttons, *event.message.quick_replies)
            buttons = [
                (str(one.get("title")), str(one.get("payload") or one.get("title"))) for one in offered
            ] + buttons
    if not buttons:
        return ""
    choices = [(f"{title} ({payload})", payload) for title, payload in buttons]
    return await ask_which("A button, or words of your own?", [*choices, ("<type something>", "")])


async def _confirmed(uttered: UserUttered, project: Project) -> UserUttered:
    """The message as it was understood, or as the person corrects it."""
    shown_text = annotated(uttered.text or "", entities_of(uttered))
    intent = uttered.full_intent_name
    if intent is not None:
        print(f"  understood: {intent} ({uttered.intent.confidence:.2f})  {shown_text}")
        if await ask_yes("Are the intent and all entities right?"):
            return uttered
    intent = await _which_intent(uttered, project)
    while True:
        marked = await ask_text("Mark the entities, as in [Rome](city):", default=shown_text)
        problems = Problems()
        text, entities = read_annotations(marked, Source("your text"), problems)
        if problems.errors:
            print(f"  {problems.errors[0].message}")
        elif text != uttered.text:
            print(f"  the words must stay as they were said: {uttered.text}")
        else:
            return corrected(uttered, intent, text, entities)


async def _which_intent(uttered: UserUttered, project: Project) -> str:
    ranking = uttered.parse_data.get("intent_ranking") or []
    ranked: dict[str, float] = {one["name"]: one["confidence"] for one in ranking}
    retrieval = {name.split("/")[0] for name in project.data.responses}
    answers = dict.fromkeys(project.data.responses)
    own = project.domain.intents
    known = [name for name in (*ranked, *own, *answers) if name in own or name not in DEFAULT_INTENTS]
    names = [name for name in dict.fromkeys(known) if name not in retrieval]
    choices = [(f"{name} ({ranked[name]:.2f})" if name in ranked else name, name) for name in names]
    chosen = await ask_which("What does it mean?", [*choices, (_NEW, "")])
    while not chosen:
        chosen = (await ask_text("The name of the new intent:")).lstrip("/")
    return chosen


# ---- what the bot does ----


async def _act(conversation: Conversation, project: Project) -> None:
    prediction = conversation.assistant.decide(conversation.tracker)
    policy = prediction.policy or "no policy"
    print(f"  the bot wants to run: {prediction.action} ({policy}, {prediction.confidence:.2f})")
    if not await ask_yes("Is that right?"):
        action = await _which_action(conversation, prediction, project)
        prediction = Prediction(action, 1.0, BY_HAND)
    for event in await conversation.run(prediction):
        said = _told(event)
        if said:
            print(said)


async def _which_action(conversation: Conversation, prediction: Prediction, project: Project) -> str:
    """The next action by hand: what the other policies would do comes first."""
    domain = project.domain
    guesses = [policy.predict(conversation.tracker, domain) for policy in conversation.assistant.policies]
    confidences = {one.action: one.confidence for one in guesses if one and one.action != prediction.action}
    own = [*domain.actions, *domain.responses, *domain.forms, *conversation.new_responses]
    names = dict.fromkeys([*confidences, LISTEN, *own, *DEFAULT_ACTIONS])
    choices = [
        (f"{name} ({confidences[name]:.2f})" if name in confidences else name, name)
        for name in names
        if "/" not in name and name not in ("...", prediction.action)
    ]
    chosen = await ask_which("What should the bot do?", [*choices, (_NEW, "")])
    while not chosen:
        chosen = await ask_text("The name of the new action (utter_… says something, action_… is yours to write):")
    if chosen.startswith("utter_") and not conversation.assistant.actions.has(chosen):
        conversation.new_responses.setdefault(chosen, await ask_text(f"What does {chosen} say?"))
    return chosen


def _told(event: Event) -> str | None:
    match event:
        case BotUttered():
            return f"Bot: {as_text(event.message)}"
        case SlotSet(name=name, value=value):
            return f"  slot {name}: {value!r}"
        case _:
            return None


# ---- what is kept ----


async def _write(found: Learned, project: Project) -> list[Path]:
    if not found.stories:
        print("Nothing was said: nothing to write.")
        return []
    _summarise(found)
    written: list[Path] = []
    try:
        stories = await _file("The stories go to (nothing: nowhere):", default_story_file(project), project)
        if stories:
            write_stories(found, stories)
            written.append(stories)
        if found.examples:
            where = await ask_text("The examples go to (nothing: each beside those of its intent):")
            written += write_examples(found, project, (project.root / where) if where else None)
        if any(found.domain.values()):
            domain = await _file(
                "What the domain lacks goes to (nothing: nowhere):", default_domain_file(project), project
            )
            if domain:
                write_domain(found, domain)
                written.append(domain)
    except SomethingElse:
        print("The rest is not written.")
    except FrontdeskError as error:
        print(f"error: {error}")
    for file in dict.fromkeys(written):
        print(f"Written: {shown(file)}")
    return written


async def _file(question: str, default: Path, project: Project) -> Path | None:
    usual = default.relative_to(project.root).as_posix()
    given = await ask_text(question, default=usual)
    return project.root / given if given else None


def _summarise(found: Learned) -> None:
    parts: Sequence[tuple[int, str]] = (
        (len(found.stories), "stories"),
        (len(found.examples), "examples"),
        *((len(more), f"new {key}") for key, more in found.domain.items()),
    )
    print("Learnt: " + ", ".join(f"{what}: {number}" for number, what in parts if number))
