"""Two projects as teams of some size have them run unmodified: their test stories pass, and one can talk to their bots.

Real Rasa 3.6.21 trains both, too, and passes the same test stories.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from bot.evaluation import evaluate
from bot.messages import BotMessage, UserMessage
from bot.project import Project, load_project
from bot.stores.memory import MemoryStore
from bot.training import load_assistant, train

PROJECTS = Path(__file__).parent / "projects"
NAMES = ("helpdesk", "car_rental")

Turns = list[tuple[str, list[str]]]
"""What the customer says, and a part of each reply."""

DIALOGUES: list[tuple[str, Turns]] = [
    (
        "helpdesk",
        [
            ("hello helpdesk", ["this is the IT helpdesk", "Tell me what you need"]),
            ("open an urgent ticket", ["Which e-mail address"]),
            ("what are your opening hours", ["from 8 to 18", "Which e-mail address"]),
            ("my e-mail is gus@example.org", ["no address of ours", "Which e-mail address"]),
            ("use eva@example.com", ["What is the matter?"]),
            ("broken", ["A little more", "What is the matter?"]),
            ("my screen stays black", ['of high priority for eva@example.com: "my screen stays black". Shall I?']),
            ("yes please", ["The ticket is INC-1043", "Was this of help?"]),
            ("status of INC-1043", ['INC-1043 ("my screen stays black") is open']),
            ("show me ticket inc-1041", ["is waiting", "waiting for your answer"]),
            ("please close INC-1040", ["INC-1040 is closed"]),
            ("that was helpful", ["Good to hear"]),
        ],
    ),
    (
        "helpdesk",
        [
            ("my account is locked", ["unlock by themselves", "link for a new password?"]),
            ("go ahead", ["For which account?"]),
            ("use ada@example.com", ["four digits on your badge"]),
            ("1815", ["on its way to ada@example.com"]),
            ("make a ticket please", ["What is the matter?"]),
            ("cancel this", ["Do you want to stop here?"]),
            ("sure", ["Nothing was saved"]),
            ("/schedule_call", ["When may we call you?"]),
            ("tomorrow at 3 pm", ["We will call you then"]),
            ("i want to talk to a person", ["I am calling a person", ""]),
            ("hello?", []),
        ],
    ),
    (
        "car_rental",
        [
            ("hello, i want to rent a car", ["In which city do you pick the car up?"]),
            ("London", ["where do you bring it back?"]),
            ("may i drive abroad", ["Within Europe", "where do you bring it back?"]),
            ("Bath", ["From which day on?"]),
            ("from monday on", ["Which car shall it be?"]),
            ("a van", ["how old is the driver?"]),
            ("i am 21", ["23 and older", "Which car shall it be?"]),
            ("the estate", ["With full cover"]),
            ("yes please", ["Booked: WH-3302", "Would you like to pay at once?"]),
            ("sure", ["How would you like to pay?"]),
            ("by card", ["last four digits"]),
            ("42", ["last four digits"]),
            ("4242", ["Pay now by card?"]),
            ("do it", ["Paid, thank you"]),
            ("show my booking", ["WH-3302: from London to Bath, from from monday on on, class estate"]),
        ],
    ),
    (
        "car_rental",
        [
            ("i need a car from London to York", ["From which day on?"]),
            ("i want to report damage", ["Which part of the car is damaged?"]),
            ("the mirror", ["What happened?"]),
            ("somebody drove into me at the lights", ["Was another car involved?"]),
            ("yes", ["What is its number plate?"]),
            ("his plate is AB12 CDE", ["Noted as claim C-1"]),
            ("status of my claim", ["Claim C-1 is being looked at"]),
            ("i have a flat tyre", ["hazard lights", "send the patrol to you?"]),
            ("not now", ["valid all night"]),
            ("the drivers are Carl and Dora", ["Noted: Carl and Dora"]),
            ("/session_start", ["Welcome back to Wheelhouse, Carl"]),
        ],
    ),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Project]:
    """Both projects in folders of their own, trained as they are."""
    found = {}
    for name in NAMES:
        root = tmp_path_factory.mktemp(name)
        shutil.copytree(PROJECTS / name, root, dirs_exist_ok=True, ignore=shutil.ignore_patterns("models", "*.db"))
        found[name] = load_project(root)
        train(found[name])
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_larger_projects_test_stories_pass(trained: dict[str, Project], name: str) -> None:
    project = trained[name]
    report = asyncio.run(evaluate(project, load_assistant(project, store=MemoryStore()), "core"))
    assert report.failures == []
    assert report.stories >= 15


@pytest.mark.parametrize("number", range(len(DIALOGUES)))
def test_a_larger_projects_bot_can_be_talked_to(
    trained: dict[str, Project], number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, turns = DIALOGUES[number]
    for variable in ("HELPDESK_DB", "RENTAL_DB"):
        monkeypatch.setenv(variable, str(tmp_path / "rows.db"))
    replies = asyncio.run(talk(trained[name], [said for said, _ in turns]))
    for (said, expected), got in zip(turns, replies, strict=True):
        texts = [message.text or "" for message in got]
        assert len(texts) == len(expected), (said, texts)
        assert all(part in text for part, text in zip(expected, texts, strict=True)), (said, texts)


async def talk(project: Project, texts: list[str]) -> list[list[BotMessage]]:
    """What came back, with the project's actions in this process."""
    (project.root / "endpoints.yml").unlink(missing_ok=True)
    assistant = load_assistant(load_project(project.root), store=MemoryStore())
    await assistant.start()
    replies = []
    for text in texts:
        payload = text if text.startswith("/") else None
        replies.append(await assistant.handle(UserMessage(text=text, payload=payload, sender_id="ann", channel="rest")))
    await assistant.close()
    return replies


def test_the_larger_projects_are_large() -> None:
    """Forty intents and more, with a dozen examples each."""
    intents: dict[str, int] = {}
    for name in NAMES:
        for example in load_project(PROJECTS / name).data.examples:
            key = f"{name} {example.intent.split('/')[0]}"
            intents[key] = intents.get(key, 0) + 1
    assert len(intents) >= 40
    assert {name: count for name, count in intents.items() if count < 12} == {}
