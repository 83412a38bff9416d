"""One customer on several channels: codes, joined conversations, sensitive slots, and the way back."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import jwt
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).with_name("faults") / "project"))

from hook import Hook, signature

from bot import conversations, joining
from bot.app import create_app, open_channels
from bot.assistant import Assistant
from bot.config import load_config
from bot.domain import Domain, SlotSpec
from bot.errors import ProjectErrors
from bot.event_reading import read_event
from bot.events import (
    ActionExecuted,
    AllSlotsReset,
    BotUttered,
    Event,
    IdentityChanged,
    ReminderScheduled,
    Restarted,
    SessionStarted,
    SlotSet,
    UserUtteranceReverted,
    UserUttered,
    event_from_json,
    event_to_json,
)
from bot.identity import ALONE, MOST_REFUSED, Identity
from bot.interfaces import Delivery, Store
from bot.messages import UserMessage
from bot.project import Project, load_project
from bot.stores.memory import MemoryStore
from bot.stores.sqlite import SQLiteStore
from bot.tracker import LISTEN, Tracker
from bot.training import load_assistant, train
from bot.yaml_file import Problems

pytestmark = pytest.mark.anyio

SECRET = "a secret of thirty-two characters"
VISITOR = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"
WEB, PHONE = f"webchat:{VISITOR}", "phone:42"

FILES = {
    "config.yml": f"""
recipe: default.v1
language: en
identity_key: {SECRET}
pipeline:
- name: WhitespaceTokenizer
- name: KeywordIntentClassifier
- name: FallbackClassifier
  threshold: 0.3
policies:
- name: RulePolicy
""",
    "domain.yml": """
intents: [transfer, hours, connect, disconnect, later]
slots:
  amount:
    type: text
    influence_conversation: false
    mappings:
    - type: from_text
      conditions: [{active_loop: transfer_form, requested_slot: amount}]
  pin:
    type: text
    influence_conversation: false
    sensitive: true
    mappings:
    - type: from_text
      conditions: [{active_loop: transfer_form, requested_slot: pin}]
forms:
  transfer_form:
    required_slots: [pin, amount]
responses:
  utter_ask_amount: [{text: "How much?"}]
  utter_ask_pin: [{text: "Your PIN?"}]
  utter_done: [{text: "{amount} sent with {pin}."}]
  utter_hours: [{text: "We open at nine."}]
  utter_default: [{text: "Pardon?"}]
  utter_later: [{text: "It is time."}]
session_config:
  session_expiration_time: 60
  carry_over_slots_to_new_session: true
""",
    "data/rules.yml": """
rules:
- rule: Transfer
  steps: [{intent: transfer}, {action: transfer_form}, {active_loop: transfer_form}]
- rule: Done
  condition: [{active_loop: transfer_form}]
  steps: [{action: transfer_form}, {active_loop: null}, {slot_was_set: [{requested_slot: null}]}, {action: utter_done}]
- rule: Hours
  steps: [{intent: hours}, {action: utter_hours}]
- rule: Later
  steps: [{intent: later}, {action: utter_later}]
- rule: Connect
  steps: [{intent: connect}, {action: action_join_code}]
- rule: Disconnect
  steps: [{intent: disconnect}, {action: action_leave}]
- rule: Fallback
  steps: [{intent: nlu_fallback}, {action: action_default_fallback}]
""",
    "data/nlu.yml": """
nlu:
- {intent: transfer, examples: "- transfer"}
- {intent: hours, examples: "- hours"}
- {intent: connect, examples: "- connect"}
- {intent: disconnect, examples: "- disconnect"}
- {intent: later, examples: "- EXTERNAL"}
""",
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    root = tmp_path_factory.mktemp("identity")
    (root / "data").mkdir()
    for name, text in FILES.items():
        (root / name).write_text(text)
    project = load_project(root)
    train(project)
    return project


class Wire:
    """A channel that can write to customers; `got` is what they read, in order."""

    def __init__(self, name: str, trust: int = 1, wait: float = 0.0) -> None:
        self.name, self.trust, self.wait = name, trust, wait
        self.got: list[tuple[str, str | None]] = []

    def routes(self, assistant: Assistant) -> Sequence[Any]:
        return []

    async def send(self, delivery: Delivery) -> None:
        self.got.append((delivery.sender_id, delivery.message.text))


class Chats:
    """A bot with its channels. `say` writes on one and lets the bot do all that follows."""

    def __init__(self, project: Project, store: Store, *, web_trust: int = 1, phone_trust: int = 1) -> None:
        self.assistant = load_assistant(project, store=store)
        self.phone, self.pager = Wire("phone", phone_trust), Wire("pager")
        (web,) = open_channels({"webchat": {"trust": web_trust}})
        channels = [web, self.phone, self.pager, *open_channels({"rest": {}})]
        self.assistant.channels = {channel.name: channel for channel in channels}
        self._numbers = itertools.count()

    @property
    def store(self) -> Store:
        return self.assistant.store

    async def say(self, conversation_id: str, text: str, message_id: str = "", **more: Any) -> list[str | None]:
        """What the bot says to whoever reads that conversation's channel, before nothing waits any more."""
        before = await self.heard(conversation_id)
        channel, _, sender = conversation_id.partition(":")
        message_id = message_id or f"m{next(self._numbers)}"
        await self.assistant.accept(UserMessage(text, sender, channel, message_id, **more))
        await self.work()
        return (await self.heard(conversation_id))[len(before) :]

    async def heard(self, conversation_id: str) -> list[str | None]:
        """All that was sent there; of a channel that does not send, all that the bot said in the conversation."""
        channel, _, sender = conversation_id.partition(":")
        wire = self.assistant.channels[channel]
        if isinstance(wire, Wire):
            return [text for to, text in wire.got if to == sender]
        return replies(await self.store.events(conversation_id))

    async def work(self) -> None:
        """All turns and deliveries that wait."""
        while waiting := await self.store.pending():
            for conversation_id in dict.fromkeys(message.conversation_id for message in waiting):
                await self.assistant.work(await self.store.claim(conversation_id))
        for conversation_id in await self.store.conversation_ids():
            lease = await self.store.claim_outbox(conversation_id)
            while lease:
                delivery = lease.deliveries[0]
                await self.assistant.channels[delivery.channel].send(delivery)
                lease = await self.store.delivered(lease)

    async def work_when_due(self) -> None:
        """What a timer brings, and then the rest."""
        while not await self.store.pending():
            await self.store.ready()
        await self.work()

    async def code(self, conversation_id: str = WEB) -> str:
        return (await joining.new_code(self.assistant, conversation_id)).code

    async def join(self, guest: str = PHONE, host: str = WEB) -> None:
        assert JOINED in await self.say(guest, await self.code(host))

    async def identity(self, conversation_id: str) -> Identity:
        return (await self.assistant.tracker(conversation_id)).identity

    async def slots(self, conversation_id: str = WEB) -> Mapping[str, Any]:
        return (await self.assistant.tracker(conversation_id)).slots


JOINED, REFUSED, HERE, LEFT = (
    joining.WORDS[name]["en"] for name in ("utter_joined", "utter_join_refused", "utter_join_here", "utter_left")
)


def replies(events: Sequence[Event]) -> list[str | None]:
    return [event.text for event in events if isinstance(event, BotUttered)]


def said(events: Sequence[Event]) -> list[str | None]:
    return [event.text for event in events if isinstance(event, UserUttered)]


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    opened: Store = MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "f.db", synchronous="OFF")
    yield opened
    await opened.close()


@pytest.fixture
def chats(project: Project, store: Store) -> Chats:
    return Chats(project, store)


# ---- joined --------------------------------------------------------------------------------------


async def test_an_open_form_goes_on_on_the_other_channel(chats: Chats) -> None:
    assert await chats.say(WEB, "transfer") == ["Your PIN?"]
    assert await chats.say(WEB, "4711") == ["How much?"]
    assert await chats.say(PHONE, await chats.code()) == [JOINED, "How much?"]
    assert await chats.say(PHONE, "100") == ["100 sent with 4711."]
    events = await chats.store.events(WEB)
    assert said(events) == ["transfer", "4711", "100"]
    assert replies(events) == ["Your PIN?", "How much?", JOINED, "How much?", "100 sent with 4711."]
    assert said(await chats.store.events(PHONE)) == []


async def test_each_message_is_answered_where_it_came_from(chats: Chats) -> None:
    await chats.join()
    await chats.join("pager:7")
    before = len(chats.phone.got)
    assert await chats.say("pager:7", "hours") == ["We open at nine."]
    assert await chats.say(WEB, "hours") == ["We open at nine."]
    assert len(chats.phone.got) == before
    assert (await chats.identity(WEB)).guests == (PHONE, "pager:7")


async def test_the_customer_asks_for_a_code_in_their_own_words(chats: Chats) -> None:
    (told,) = await chats.say(WEB, "connect")
    assert told
    assert told.startswith("Enter this code in the other chat within 10 minutes")
    assert await chats.say(PHONE, told.split(": ")[1]) == [JOINED]


@pytest.mark.parametrize(
    "written", [str, str.lower, lambda code: f" {code.replace('-', ' ')}\n", lambda c: c.replace("-", "")]
)
async def test_a_code_may_be_typed_in_several_ways(written: Callable[[str], str], chats: Chats) -> None:
    assert await chats.say(PHONE, written(await chats.code())) == [JOINED]


async def test_a_link_hands_a_token_over(chats: Chats) -> None:
    made = await joining.new_code(chats.assistant, WEB)
    assert await chats.say(PHONE, "/start", metadata={"join": made.token}) == [JOINED]
    assert await chats.say("phone:43", made.code) == [REFUSED]


async def test_the_same_ids_on_two_channels_are_two_messages(chats: Chats) -> None:
    await chats.join()
    assert await chats.say(WEB, "hours", "1") == ["We open at nine."]
    assert await chats.say(PHONE, "hours", "1") == ["We open at nine."]
    assert await chats.say(PHONE, "hours", "1") == []


async def test_a_conversation_may_be_joined_to_another_one_instead(chats: Chats) -> None:
    await chats.join(PHONE, WEB)
    await chats.join(PHONE, "rest:anna")
    assert await chats.say(PHONE, "hours") == ["We open at nine."]
    assert said(await chats.store.events("rest:anna")) == ["hours"]
    assert (await chats.identity(WEB)).guests == ()


async def test_who_waits_for_the_answer_gets_the_hosts(chats: Chats) -> None:
    code = await chats.code()

    async def ask(text: str, message_id: str) -> list[str | None]:
        return [reply.text for reply in await chats.assistant.handle(UserMessage(text, "anna", message_id=message_id))]

    assert await ask(code, "1") == [JOINED]
    assert await ask("hours", "2") == ["We open at nine."]
    assert await ask("hours", "2") == ["We open at nine."]
    assert said(await chats.store.events(WEB)) == ["hours"]
    assert await joining.leave(chats.assistant, "rest:anna")
    assert [await ask(code, "1"), await ask("hours", "2")] == [[JOINED], ["We open at nine."]]
    assert said(await chats.store.events(WEB)) == ["hours"]


async def test_what_the_bot_says_by_itself_goes_to_where_the_customer_wrote_last(chats: Chats) -> None:
    await chats.join()
    for conversation_id, goes_to_phone in ((PHONE, True), (WEB, False)):
        await chats.say(conversation_id, "hours")
        before = len(chats.phone.got)
        reminder = ReminderScheduled(intent="later", date_time="2020-01-01T00:00:00Z", name="r")
        await conversations.append(chats.assistant, WEB, [reminder])
        await chats.work_when_due()
        assert chats.phone.got[before:] == [("42", "It is time.")] * goes_to_phone


async def test_what_an_api_caller_lets_the_bot_say_goes_to_the_guest_on_that_channel(chats: Chats) -> None:
    await chats.join()
    await conversations.trigger_intent(chats.assistant, WEB, "hours", None, "phone")
    await chats.work()
    assert chats.phone.got[-1] == ("42", "We open at nine.")


async def test_the_hosts_own_channel_hears_who_has_joined(chats: Chats) -> None:
    await chats.join(PHONE, "pager:7")
    assert chats.pager.got == [("7", JOINED)]


async def test_messages_typed_in_a_row_are_one_turn_of_one_channel(chats: Chats) -> None:
    chats.phone.wait = 0.01
    code = await chats.code()
    for number, text in enumerate(("hours", code, "hours", "please")):
        await chats.assistant.accept(UserMessage(text, "42", "phone", f"b{number}"))
    await chats.work_when_due()
    assert said(await chats.store.events(PHONE)) == ["hours"]
    assert said(await chats.store.events(WEB)) == ["hours\nplease"]


async def test_messages_of_two_customers_are_two_turns(chats: Chats) -> None:
    await chats.join("phone:42")
    await chats.join("phone:43")
    chats.phone.wait = 0.01
    for sender in ("42", "43"):
        message = joining._for_host(UserMessage("hours", sender, "phone"), WEB)
        await chats.store.accept(message)
    await chats.work()
    assert said(await chats.store.events(WEB)) == ["hours", "hours"]


# ---- codes ---------------------------------------------------------------------------------------


async def test_a_code_is_used_once(chats: Chats) -> None:
    code = await chats.code()
    assert await chats.say(PHONE, code) == [JOINED]
    assert await chats.say("phone:43", code) == [REFUSED]
    assert await chats.say("phone:43", "hours") == ["We open at nine."]
    assert (await chats.identity(WEB)).guests == (PHONE,)


async def test_a_newer_code_takes_the_place_of_the_one_before(chats: Chats) -> None:
    first, second = await chats.code(), await chats.code()
    assert await chats.say(PHONE, first) == [REFUSED]
    assert await chats.say(PHONE, second) == [JOINED]


async def test_a_code_whose_time_is_over_opens_nothing(chats: Chats, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "LIFETIME", 0.0)
    made = await joining.new_code(chats.assistant, WEB)
    assert await chats.say(PHONE, made.code) == [REFUSED]
    assert await chats.say(PHONE, "", metadata={"join": made.token}) == [REFUSED]


async def test_a_code_does_nothing_where_it_was_made(chats: Chats) -> None:
    code = await chats.code()
    assert await chats.say(WEB, code) == [HERE]
    assert await chats.say(PHONE, code) == [JOINED]


async def test_who_is_joined_already_hears_so(chats: Chats) -> None:
    code = await chats.code()
    assert await chats.say(PHONE, code) == [JOINED]
    for again in (code, await chats.code()):
        assert await chats.say(PHONE, again) == [JOINED]
    identity = await chats.identity(PHONE)
    assert (identity.changes, identity.refused) == (1, ())


async def test_what_a_guest_hears_of_a_code_is_said_in_the_host(chats: Chats) -> None:
    await chats.join()
    assert await chats.say(PHONE, "C2C2-C2C2") == [REFUSED]
    assert replies(await chats.store.events(WEB)) == [JOINED, REFUSED]
    assert replies(await chats.store.events(PHONE)) == []


async def test_codes_cannot_be_guessed(chats: Chats) -> None:
    wrong = ("C2C2-C2C2", "D3D3-D3D3", "F4F4F4F4", "G5G5-G5G5", "H6H6-H6H6")
    assert len(wrong) == MOST_REFUSED
    for code in wrong:
        await chats.say(PHONE, code)
    assert len((await chats.identity(PHONE)).refused) == MOST_REFUSED
    code = await chats.code()
    assert await chats.say(PHONE, code) == [REFUSED]
    assert (await chats.identity(PHONE)).host is None
    assert await chats.say("phone:43", code) == [JOINED]


async def test_after_an_hour_a_customer_may_try_again(chats: Chats) -> None:
    an_hour_ago = time.time() - 3601
    refused = [IdentityChanged(change="refused", timestamp=an_hour_ago) for _ in range(MOST_REFUSED)]
    await conversations.append(chats.assistant, PHONE, refused)
    await chats.join()


async def test_what_might_be_a_code_and_opens_nothing_is_a_message_like_any_other(chats: Chats) -> None:
    await chats.say(PHONE, "transfer")
    await chats.say(PHONE, "4711")
    assert await chats.say(PHONE, "RX48H3KD") == ["RX48H3KD sent with 4711."]
    assert len((await chats.identity(PHONE)).refused) == 1


@pytest.mark.parametrize(
    "text", ["34793479", "3479-3479", "CDFG-HJKM", "c2c2-c2c2-c2c2", "Is it C2C2-C2C2?", "C2C2-C2CO"]
)
async def test_what_has_not_the_shape_of_a_code_is_never_looked_up(text: str) -> None:
    assert joining.entered(UserMessage(text), SECRET) is None


def contents(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


async def test_a_code_is_kept_as_its_hash(project: Project, tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "frontdesk.db")
    made = await joining.new_code(Chats(project, store).assistant, WEB)
    await store.close()
    kept = contents(tmp_path)
    assert made.token
    assert made.event.data["key"].encode() in kept
    for text in (made.code, made.code.replace("-", ""), made.token):
        assert text.encode() not in kept


async def test_the_record_of_a_code_is_deleted_when_it_is_over(chats: Chats, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "LIFETIME", 0.0)
    monkeypatch.setattr(joining, "AFTERLIFE", 0.0)
    await chats.code()
    assert any(name.startswith("join:") for name in await chats.store.conversation_ids())
    await chats.work_when_due()
    assert await chats.store.conversation_ids() == [WEB]
    assert await chats.store.pending() == []


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=12, max_size=12), st.integers(0, 255), st.integers(0, 31), st.text(min_size=1, max_size=8))
def test_a_token_says_what_we_signed_and_no_other_is_one(key: bytes, byte: int, place: int, secret: str) -> None:
    soon = time.time() + 60
    token = joining.write_token(key, soon, secret)
    assert len(token) == 43
    assert joining.read_token(token, secret) == key.hex()
    assert joining.read_token(token, secret + "x") is None
    assert joining.read_token(token, "") is None
    assert joining.read_token(joining.write_token(key, time.time() - 1, secret), secret) is None
    signed = bytearray(base64.urlsafe_b64decode(token + "="))
    if signed[place] != byte:
        signed[place] = byte
        assert joining.read_token(base64.urlsafe_b64encode(signed).decode().rstrip("="), secret) is None


def test_a_key_that_could_be_guessed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text("recipe: default.v1\nlanguage: en\nidentity_key: sesame\n")
    problems = Problems()
    load_config(tmp_path, problems)
    with pytest.raises(ProjectErrors, match="'identity_key' must have at least 32 characters") as refused:
        problems.raise_errors()
    assert "sesame" not in str(refused.value)


def test_every_code_has_the_shape_of_one() -> None:
    tracker = Tracker.new(WEB, Domain())
    made = [joining.make(tracker, "") for _ in range(300)]
    assert all(joining.entered(UserMessage(one.code), "") for one in made)
    assert not any(one.token for one in made)
    assert len({one.code for one in made}) == 300


# ---- circles and chains --------------------------------------------------------------------------


async def test_no_circle_comes_about_one_after_the_other(chats: Chats) -> None:
    ours = await chats.code(PHONE)
    await chats.join(PHONE, WEB)
    assert await chats.say(WEB, ours) == [REFUSED]
    assert await chats.say(WEB, await chats.code(PHONE)) == [HERE]
    assert await chats.say(PHONE, "hours") == ["We open at nine."]


async def test_guests_move_along_with_their_host(chats: Chats) -> None:
    await chats.join(PHONE, "pager:7")
    await chats.join("pager:7", WEB)
    assert (await chats.identity(PHONE)).host == WEB
    assert set((await chats.identity(WEB)).guests) == {PHONE, "pager:7"}
    assert (await chats.identity("pager:7")).guests == ()
    assert await chats.say(PHONE, "hours") == ["We open at nine."]
    assert said(await chats.store.events(WEB)) == ["hours"]
    assert chats.phone.got == [("42", JOINED), ("42", "We open at nine.")]


async def test_what_comes_while_guests_move_finds_its_way(chats: Chats) -> None:
    await chats.join(PHONE, "pager:7")
    code = await chats.code(WEB)
    await chats.assistant.accept(UserMessage(code, "7", "pager", "c"))
    await chats.assistant.work(await chats.store.claim("pager:7"))
    await chats.store.accept(joining._for_host(UserMessage("hours", "42", "phone", "h"), "pager:7"))
    await chats.work()
    assert said(await chats.store.events(WEB)) == ["hours"]
    assert chats.phone.got[-1] == ("42", "We open at nine.")


async def test_a_circle_that_somebody_made_by_hand_does_not_turn_for_ever(chats: Chats) -> None:
    circle = ("phone:1", "phone:2", "phone:3")
    for guest, host in zip(circle, (*circle[1:], circle[0]), strict=True):
        joined = IdentityChanged(change="joined", data={"host": host, "since": 0})
        await conversations.append(chats.assistant, guest, [joined])
    assert await chats.say("phone:1", "hours") == ["We open at nine."]


class Shuffled:
    """A store in which others come between any two steps, as long as `steps` say how many."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.steps: Iterator[int] = iter(())

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if not asyncio.iscoroutinefunction(found):
            return found

        async def slowly(*args: Any, **options: Any) -> Any:
            for _ in range(next(self.steps, 0)):
                await asyncio.sleep(0)
            return await found(*args, **options)

        return slowly


async def race(project: Project, steps: list[int], entered: Callable[[dict[str, str]], dict[str, str]]) -> Chats:
    """Each of three phones has a code, and all enter at the same moment what `entered` makes of them."""
    store = Shuffled(MemoryStore())
    chats = Chats(project, store)  # type: ignore[arg-type]
    codes = {one: await chats.code(one) for one in THREE}
    codes = entered(codes)
    for one, code in codes.items():
        await chats.assistant.accept(UserMessage(code, one.partition(":")[2], "phone", "code"))
    leases = [await chats.store.claim(one) for one in codes]
    store.steps = iter(steps)
    await asyncio.gather(*(chats.assistant.work(lease) for lease in leases))
    await chats.work()
    return chats


THREE = ("phone:1", "phone:2", "phone:3")
RACES = st.lists(st.integers(0, 3), min_size=12, max_size=60)


@settings(max_examples=150, deadline=None)
@given(RACES, st.sampled_from([THREE[:2], THREE]))
def test_no_circle_comes_about_at_the_same_moment(project: Project, steps: list[int], circle: tuple[str, ...]) -> None:
    """Each enters the next one's code."""
    following = dict(zip(circle, (*circle[1:], circle[0]), strict=True))

    async def run() -> None:
        chats = await race(project, steps, lambda codes: {one: codes[other] for one, other in following.items()})
        hosts = {one: (await chats.identity(one)).host for one in circle}
        at = circle[0]
        for _ in circle:
            at = hosts[at] or at
        assert hosts[at] is None, hosts
        for one in circle:
            assert await chats.say(one, "hours", "hours") == ["We open at nine."]

    asyncio.run(run())


@settings(max_examples=100, deadline=None)
@given(RACES)
def test_of_two_who_enter_a_code_at_the_same_moment_one_joins(project: Project, steps: list[int]) -> None:
    async def run() -> None:
        chats = await race(project, steps, lambda codes: dict.fromkeys(THREE[:2], codes[THREE[2]]))
        hosts = [(await chats.identity(one)).host for one in THREE[:2]]
        assert sorted(map(str, hosts)) == ["None", THREE[2]]

    asyncio.run(run())


# ---- whatever dies in between --------------------------------------------------------------------


class Killed(BaseException):
    """The process is gone."""


class Mortal:
    """A store whose process dies at one of its calls: before it is carried out, or before the answer arrives."""

    def __init__(self, store: Store, at: int, *, after: bool) -> None:
        self._store, self._after = store, after
        self._left = at

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name not in ("accept", "commit", "resume", "load", "release"):
            return found

        async def perhaps(*args: Any, **options: Any) -> Any:
            self._left -= 1
            if self._left <= 0 and not (self._after and self._left == 0):
                raise Killed
            outcome = await found(*args, **options)
            if self._left == 0:
                raise Killed
            return outcome

        return perhaps

    @property
    def is_dead(self) -> bool:
        return self._left <= 0


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_whatever_dies_a_guest_joins_once_and_each_message_is_taken_once(
    after: bool, project: Project, tmp_path: Path
) -> None:
    for at in itertools.count(1):
        file = tmp_path / f"{after}-{at}.db"
        store = SQLiteStore(file, synchronous="OFF")
        chats = Chats(project, store)
        await chats.join("pager:7", PHONE)
        code = await chats.code()
        for number, (who, text) in enumerate((("42", code), ("42", "hours"))):
            await chats.assistant.accept(UserMessage(text, who, "phone", f"m{number}"))
        mortal = Mortal(store, at, after=after)
        chats.assistant.store = mortal  # type: ignore[assignment]
        try:
            while waiting := await store.pending():
                await chats.assistant.work(await store.claim(waiting[0].conversation_id))
        except Killed:
            pass
        await store.close()

        again = Chats(project, SQLiteStore(file, synchronous="OFF"))
        await again.work()
        assert (await again.identity(PHONE)).host == WEB
        assert (await again.identity("pager:7")).host == WEB
        assert set((await again.identity(WEB)).guests) == {PHONE, "pager:7"}
        events = await again.store.events(WEB)
        assert said(events) == ["hours"]
        assert replies(events) == [JOINED, "We open at nine."]
        assert again.phone.got == [("42", JOINED), ("42", "We open at nine.")]
        await again.store.close()
        if not mortal.is_dead:
            assert at > 15
            return


# ---- trust ---------------------------------------------------------------------------------------


@pytest.fixture
def guarded(project: Project, store: Store) -> Chats:
    """The web chat is behind a login; whoever has the phone can write on it."""
    return Chats(project, store, web_trust=2, phone_trust=0)


async def test_a_weaker_channel_asks_again_for_what_is_sensitive(guarded: Chats) -> None:
    await guarded.say(WEB, "transfer")
    await guarded.say(WEB, "4711")
    assert await guarded.say(PHONE, await guarded.code()) == [JOINED, "How much?"]
    assert await guarded.say(PHONE, "100") == ["Your PIN?"]
    assert await guarded.say(PHONE, "0815") == ["100 sent with 0815."]


async def test_the_stronger_channel_has_its_own_again_and_nothing_of_the_weaker_one(guarded: Chats) -> None:
    await guarded.say(WEB, "transfer")
    await guarded.say(WEB, "4711")
    await guarded.join()
    await guarded.say(PHONE, "100")
    await guarded.say(PHONE, "0815")
    assert (await guarded.slots())["pin"] == "0815"
    await guarded.say(WEB, "hours")
    assert (await guarded.slots())["pin"] == "4711"
    await guarded.say(PHONE, "hours")
    assert (await guarded.slots())["pin"] == "0815"


async def test_what_was_not_said_on_the_stronger_channel_is_asked_there(guarded: Chats) -> None:
    await guarded.join()
    await guarded.say(PHONE, "transfer")
    await guarded.say(PHONE, "0815")
    assert await guarded.say(WEB, "100") == ["Your PIN?"]


async def test_a_message_that_is_taken_back_does_not_bring_back_what_the_weaker_channel_must_not_have(
    guarded: Chats,
) -> None:
    await guarded.say(WEB, "transfer")
    await guarded.say(WEB, "4711")
    await guarded.say(WEB, "100")
    await guarded.join()
    assert await guarded.say(PHONE, "nonsense") == ["Pardon?"]
    assert (await guarded.slots())["pin"] is None


async def test_channels_of_the_same_trust_share_everything(chats: Chats) -> None:
    await chats.say(WEB, "transfer")
    await chats.say(WEB, "4711")
    await chats.join()
    await chats.say(PHONE, "hours")
    assert (await chats.slots())["pin"] == "4711"
    assert not any(event.change == "trust" for event in await changes(chats, WEB))


async def record_of(chats: Chats) -> str:
    """Where the only code is kept."""
    (name,) = [name for name in await chats.store.conversation_ids() if name.startswith("join:")]
    return name


async def changes(chats: Chats, conversation_id: str) -> list[IdentityChanged]:
    return [event for event in await chats.store.events(conversation_id) if isinstance(event, IdentityChanged)]


LEVELS = st.integers(0, 2)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), LEVELS),
        st.tuples(st.just("set"), st.sampled_from(["a", "b", None])),
        st.tuples(st.just("revert"), st.just(None)),
        st.tuples(st.just("forget"), st.sampled_from([AllSlotsReset, Restarted, SessionStarted])),
    ),
    max_size=25,
)


@settings(max_examples=500, deadline=None)
@given(STEPS)
def test_no_channel_sees_what_was_given_on_one_of_another_trust(steps: list[tuple[str, Any]]) -> None:
    domain = Domain(slots={"pin": SlotSpec("pin", "text", sensitive=True), "open": SlotSpec("open", "text")})
    tracker = Tracker.new(WEB, domain)
    given_at: dict[int, list[str | None]] = {level: [None] for level in range(3)}
    level = 2
    for number, (step, value) in enumerate(steps):
        match step:
            case "write":
                level = value
                tracker.apply_all(joining.at_trust(tracker, 2, level))
                tracker.apply_all([UserUttered(text="x", parse_data={"intent": {"name": "x"}})])
                tracker.apply(ActionExecuted(name=LISTEN))
            case "set":
                told = value and f"{value}{number}"
                tracker.apply(SlotSet(name="pin", value=told))
                for other in range(3):
                    if told is None:
                        given_at[other] = [None]
                given_at[level].append(told)
            case "revert":
                tracker.apply(UserUtteranceReverted())
                if tracker.identity.trust is None:
                    # All came on one channel: what is taken back is taken back.
                    given_at[level].append(tracker.slots["pin"])
            case "forget":
                tracker.apply(value())
                given_at = {one: [None] for one in range(3)}
        assert tracker.slots["pin"] in given_at[level]
    kept = orjson.loads(orjson.dumps(tracker.to_json(), default=dict))
    assert Tracker.from_json(kept, domain, tracker.events).identity.kept == tracker.identity.kept
    for one in range(3):
        back = tracker.copy()
        back.apply_all(joining.at_trust(back, 2, one))
        assert back.slots["pin"] in given_at[one]


def test_what_is_sensitive_stands_in_the_domain(project: Project) -> None:
    assert [slot.name for slot in project.domain.slots.values() if slot.sensitive] == ["pin"]


# ---- the way back --------------------------------------------------------------------------------


async def test_a_guest_leaves_by_its_own_words(chats: Chats) -> None:
    await chats.join()
    await chats.join("pager:7")
    assert await chats.say(PHONE, "disconnect") == [LEFT]
    assert await chats.say(PHONE, "hours") == ["We open at nine."]
    assert said(await chats.store.events(PHONE)) == ["hours"]
    assert said(await chats.store.events(WEB)) == ["disconnect"]
    assert (await chats.identity(WEB)).guests == ("pager:7",)
    assert chats.pager.got == [("7", JOINED)]


async def test_on_its_own_channel_the_host_sends_all_guests_away(chats: Chats) -> None:
    await chats.join()
    await chats.join("pager:7")
    assert await chats.say(WEB, "disconnect") == [LEFT]
    assert [(await chats.identity(one)).host for one in (PHONE, "pager:7")] == [None, None]
    assert (await chats.identity(WEB)).guests == ()
    assert [chats.phone.got[-1], chats.pager.got[-1]] == [("42", LEFT), ("7", LEFT)]


@pytest.mark.parametrize("which", [PHONE, WEB])
async def test_an_api_caller_undoes_it_from_either_side(which: str, chats: Chats) -> None:
    await chats.join()
    assert await joining.leave(chats.assistant, which)
    await chats.work()
    assert (await chats.identity(PHONE)).host is None
    assert (await chats.identity(WEB)).guests == ()
    assert chats.phone.got[-1] == ("42", LEFT)
    assert not await joining.leave(chats.assistant, which)
    await chats.join()
    assert await chats.say(PHONE, "hours") == ["We open at nine."]
    assert said(await chats.store.events(WEB)) == ["hours"]


async def test_a_conversation_of_its_own_goes_on_where_it_was(chats: Chats) -> None:
    assert await chats.say(PHONE, "transfer") == ["Your PIN?"]
    await chats.join()
    assert await chats.say(PHONE, "hours") == ["We open at nine."]
    await joining.leave(chats.assistant, PHONE)
    await chats.work()
    assert await chats.say(PHONE, "0815") == ["How much?"]


async def test_a_conversation_that_began_with_a_code_begins_its_session_when_it_is_on_its_own(chats: Chats) -> None:
    await chats.join()
    await joining.leave(chats.assistant, PHONE)
    await chats.say(PHONE, "hours")
    kinds = [event.kind for event in await chats.store.events(PHONE)]
    assert kinds.count("session_started") == 1


# ---- what is kept --------------------------------------------------------------------------------

NAMES = st.sampled_from(["rest:a", "rest:b", PHONE])
CHANGES = st.one_of(
    st.builds(lambda key, at: ("code", {"key": key, "conversation_id": WEB, "expires": at}), NAMES, st.floats(0, 9)),
    st.builds(lambda by: ("code_used", {"by": by}), NAMES),
    st.just(("refused", {})),
    st.builds(lambda host, since: ("joined", {"host": host, "since": since}), NAMES, st.integers(0, 9)),
    st.builds(lambda host: ("left", {"host": host}), NAMES),
    st.builds(lambda guest: ("guest_joined", {"guest": guest}), NAMES),
    st.builds(lambda guest: ("guest_left", {"guest": guest}), NAMES),
    st.builds(lambda trust: ("trust", {"trust": trust}), LEVELS),
    st.builds(lambda change: (change, {}), st.sampled_from(["code", "joined", "guest_left", "trust", "else"])),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(CHANGES, max_size=12))
def test_snapshot_export_and_import_keep_who_is_joined(given_changes: list[tuple[str, dict[str, Any]]]) -> None:
    tracker = Tracker.new(WEB, Domain())
    tracker.apply_all(IdentityChanged(change=change, data=data) for change, data in given_changes)
    kept = orjson.loads(orjson.dumps(tracker.to_json(), default=dict))
    assert Tracker.from_json(kept, Domain(), tracker.events).identity == tracker.identity
    exported = orjson.loads(orjson.dumps([event_to_json(event) for event in tracker.events], default=dict))
    for read in (event_from_json, read_event):
        again = Tracker.new(WEB, Domain())
        again.apply_all(map(read, exported))
        assert again.identity == tracker.identity
    assert (tracker.identity == ALONE) == (Identity.from_json(tracker.identity.to_json()) == ALONE)


async def test_who_is_joined_outlives_a_restart_of_the_conversation(chats: Chats) -> None:
    await chats.join()
    for conversation_id in (PHONE, WEB):
        await conversations.append(
            chats.assistant, conversation_id, [Restarted(), SessionStarted(), ActionExecuted(name=LISTEN)]
        )
    assert await chats.say(PHONE, "hours") == ["We open at nine."]
    assert said(await chats.store.events(WEB)) == ["hours"]


async def test_an_erased_conversation_takes_no_messages_of_others(chats: Chats) -> None:
    await chats.join()
    await joining.leave(chats.assistant, WEB, is_erased=True)
    await chats.store.delete(WEB)
    await chats.work()
    assert await chats.store.conversation_ids() == [await record_of(chats), PHONE]
    assert await chats.say(PHONE, "hours") == ["We open at nine."]
    assert (await chats.identity(PHONE)).host is None


async def test_where_a_host_is_gone_another_begins(chats: Chats) -> None:
    await chats.join()
    await chats.store.delete(WEB)
    assert await chats.say(PHONE, "hours") == ["We open at nine."]
    assert [event.kind for event in await chats.store.events(WEB)].count("session_started") == 1


# ---- over the network ----------------------------------------------------------------------------


class Platform:
    """What the webhook channel of the fault suite talks to: signs what customers write, and keeps what they read."""

    def __init__(self) -> None:
        self.got: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self._server: TestServer | None = None

    async def __aenter__(self) -> Platform:
        app = web.Application()
        app.router.add_post("/send", self._take)
        self._server = TestServer(app)
        await self._server.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server
        await self._server.close()

    @property
    def address(self) -> str:
        assert self._server
        return str(self._server.make_url("/"))

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.got.put_nowait((body["to"], body["text"]))
        return web.json_response({"ok": True})


async def write(client: httpx.AsyncClient, sender: str, text: str, message_id: str) -> None:
    """A customer writes on the platform, which tells the bot twice."""
    sent = {"id": message_id, "from": sender, "text": text, "at": time.time()}
    body = orjson.dumps({"envelope": "e", "message": sent})
    now = f"{time.time():.3f}"
    headers = {"X-Hook-Time": now, "X-Hook-Signature": signature(SECRET, now, body)}
    for _ in range(2):
        assert (await client.post("/webhooks/hook/webhook", content=body, headers=headers)).status_code == 200


def bearing(session: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {session}"}


@contextlib.asynccontextmanager
async def open_shop(
    project: Project, store: Store, running: Callable[..., Any], **options: Any
) -> AsyncIterator[tuple[httpx.AsyncClient, Platform]]:
    """A server with the web chat behind a login and the webhook channel, and the platform of that."""
    async with Platform() as platform:
        hook = Hook(secret=SECRET, platform=platform.address)
        hook.trust = 0
        channels = [*open_channels({"webchat": {"trust": 2}, "rest": {}}), hook]
        app = create_app(load_assistant(project, store=store), channels, **options)
        with running(app) as address:
            async with httpx.AsyncClient(base_url=address) as client:
                yield client, platform
        await hook.close()


async def test_a_form_begun_on_the_web_goes_on_over_a_platforms_webhook(
    project: Project, tmp_path: Path, running: Callable[..., Any]
) -> None:
    store = SQLiteStore(tmp_path / "f.db", synchronous="OFF")
    async with open_shop(project, store, running) as (client, platform):

        async def visit(text: str) -> list[str]:
            body = {"session": VISITOR, "message": text}
            answer = (await client.post("/webhooks/webchat/webhook", json=body)).json()
            return [message["text"] for message in answer["messages"]]

        assert await visit("transfer") == ["Your PIN?"]
        assert await visit("4711") == ["How much?"]
        code = (await client.post("/webchat/code", headers=bearing(VISITOR))).json()
        assert 0 < code["expires"] - time.time() <= 600
        await write(client, "anna", code["code"], "1")
        assert [await platform.got.get(), await platform.got.get()] == [("anna", JOINED), ("anna", "How much?")]
        await write(client, "anna", "100", "2")
        assert await platform.got.get() == ("anna", "Your PIN?")
        await write(client, "anna", "0815", "3")
        assert await platform.got.get() == ("anna", "100 sent with 0815.")
        assert platform.got.empty()
        shown = (await client.get("/webchat/session", headers=bearing(VISITOR))).json()["messages"]
        assert [message["text"] for message in shown[-4:]] == ["100", "Your PIN?", "0815", "100 sent with 0815."]


async def test_a_page_of_a_guest_shows_what_is_said_from_then_on(
    project: Project, tmp_path: Path, running: Callable[..., Any]
) -> None:
    store = SQLiteStore(tmp_path / "f.db", synchronous="OFF")
    async with open_shop(project, store, running) as (client, platform):

        async def visit(text: str, message_id: str, after: int) -> tuple[int, list[tuple[str, str]]]:
            body = {"session": VISITOR, "message": text, "message_id": message_id, "after": after}
            return read((await client.post("/webhooks/webchat/webhook", json=body)).json())

        def read(answer: Any) -> tuple[int, list[tuple[str, str]]]:
            return answer["position"], [(one.get("id", "bot"), one["text"]) for one in answer["messages"]]

        async def load(after: str = "") -> tuple[int, list[tuple[str, str]]]:
            return read((await client.get(f"/webchat/session{after}", headers=bearing(VISITOR))).json())

        await write(client, "anna", "connect", "1")
        code = (await platform.got.get())[1].split(": ")[1]
        own, told = await visit("hours", "w1", 0)
        assert told == [("w1", "hours"), ("bot", "We open at nine.")]
        assert await visit(code, "w2", own) == (0, [])  # the page sees that it has to load another conversation
        joined, told = await load()
        assert joined > own
        assert told == [("bot", JOINED)]
        assert await platform.got.get() == ("anna", JOINED)
        here, told = await visit("hours", "w3", joined)
        assert told == [("w3", "hours"), ("bot", "We open at nine.")]
        assert await load(f"?after={here}") == (here, [])
        assert (await load())[1] == [("bot", JOINED), *told]
        await client.delete(f"/conversations/{WEB}/joined")
        assert await load(f"?after={here}") == (0, [])
        assert (await load())[1] == [("w1", "hours"), ("bot", "We open at nine."), ("bot", LEFT)]


async def test_a_page_that_is_new_sees_what_its_code_has_joined(
    project: Project, tmp_path: Path, running: Callable[..., Any]
) -> None:
    store = SQLiteStore(tmp_path / "f.db", synchronous="OFF")
    async with open_shop(project, store, running) as (client, platform):
        await write(client, "anna", "connect", "1")
        code = (await platform.got.get())[1].split(": ")[1]
        body = {"session": VISITOR, "message": code, "after": 0}
        answer = (await client.post("/webhooks/webchat/webhook", json=body)).json()
        assert [message["text"] for message in answer["messages"]] == [JOINED]


async def test_the_api_makes_codes_lists_who_is_joined_and_undoes_it(
    project: Project, tmp_path: Path, running: Callable[..., Any]
) -> None:
    store = SQLiteStore(tmp_path / "f.db", synchronous="OFF")
    async with open_shop(project, store, running) as (client, platform):
        made = (await client.post("/conversations/rest:ben/joined")).json()
        await write(client, "anna", made["token"], "1")
        assert await platform.got.get() == ("anna", JOINED)
        nobody = {"host": None, "guests": []}
        assert (await client.get("/conversations/ben/joined")).json() == {**nobody, "guests": ["hook:anna"]}
        assert (await client.get("/conversations/hook:anna/joined")).json() == {**nobody, "host": "rest:ben"}
        assert (await client.delete("/conversations/ben/joined")).status_code == 204
        assert await platform.got.get() == ("anna", LEFT)
        for name in ("ben", "hook:anna"):
            assert (await client.get(f"/conversations/{name}/joined")).json() == nobody
            assert (await client.delete(f"/conversations/{name}/joined")).status_code == 404


async def test_who_may_touch_one_conversation_cannot_join_it_to_another_by_its_events(
    project: Project, running: Callable[..., Any]
) -> None:
    async with open_shop(project, MemoryStore(), running, jwt_secret=SECRET) as (client, _):

        def as_role(role: str) -> dict[str, str]:
            return bearing(jwt.encode({"user": {"username": "ben", "role": role}}, SECRET, "HS256"))

        joined = {"event": "identity", "change": "joined", "data": {"host": WEB, "since": 0}}
        path = "/conversations/ben/tracker/events"
        for method in ("POST", "PUT"):
            assert (await client.request(method, path, json=[joined], headers=as_role("user"))).status_code == 403
        assert (await client.post(path, json=[joined], headers=as_role("admin"))).status_code == 200


async def test_who_erases_a_conversation_lets_its_guests_go(project: Project, running: Callable[..., Any]) -> None:
    async with open_shop(project, MemoryStore(), running) as (client, platform):
        made = (await client.post("/conversations/rest:ben/joined")).json()
        await write(client, "anna", made["code"], "1")
        assert await platform.got.get() == ("anna", JOINED)
        assert (await client.delete("/conversations/ben/tracker")).status_code == 204
        assert await platform.got.get() == ("anna", LEFT)
        await write(client, "anna", "hours", "2")
        assert await platform.got.get() == ("anna", "We open at nine.")
        assert (await client.get("/conversations/ben/joined")).status_code == 404
