"""Custom actions run in the process: found in a project's folder, ours and rasa-sdk's classes unchanged."""

import asyncio
import re
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest

from bot import custom_actions
from bot.action_answers import ActionResult, read_events
from bot.action_execution import Actions
from bot.custom_actions import load_actions, run_action
from bot.domain import Domain, FormSpec, SlotSpec
from bot.errors import ActionError, ActionRejected, ConfigError, UnknownName
from bot.events import ActionExecuted, ActiveLoopChanged, BotUttered, FollowupAction, SlotSet, UserUttered
from bot.interfaces import Action
from bot.tracker import Tracker

pytestmark = pytest.mark.anyio

DOMAIN = Domain(
    slots={name: SlotSpec(name) for name in ("payee", "amount", "iban")},
    forms={},
    raw={
        "forms": {"transfer_form": {"required_slots": ["payee", "amount"]}},
        "slots": {name: {"type": "any", "mappings": [{"type": "custom"}]} for name in ("payee", "amount", "iban")},
    },
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def write(root: Path, **files: str) -> Path:
    """A project: `actions__banking=...` is actions/banking.py, and `actions____init__` what it says."""
    for name, text in files.items():
        folders, init, _ = name.partition("____init__")
        path = root.joinpath(*folders.split("__"), *["__init__"][: bool(init)]).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return root


def tracker_in_form() -> Tracker:
    tracker = Tracker.new("rest:anna", DOMAIN)
    tracker.apply(ActionExecuted(name="action_listen"))
    parse_data = {
        "text": "100 to Ben",
        "intent": {"name": "inform", "confidence": 0.9},
        "entities": [{"entity": "amount", "value": 100, "start": 0, "end": 3}],
        "intent_ranking": [{"name": "inform", "confidence": 0.9}],
    }
    tracker.apply(
        UserUttered(
            text="100 to Ben",
            parse_data=parse_data,
            input_channel="rest",
            message_id="m1",
            metadata={"customer": "7"},
        )
    )
    tracker.apply(ActiveLoopChanged(name="transfer_form"))
    return tracker


# ---- finding -------------------------------------------------------------------------------------

SDK_ACTION = """
    from rasa_sdk import Action

    class {cls}(Action):
        def name(self):
            return "{name}"

        def run(self, dispatcher, tracker, domain):
            dispatcher.utter_message(text="{text}")
            return []
"""


def sdk_action(name: str, text: str = "", cls: str = "ActionOne") -> str:
    return SDK_ACTION.format(name=name, text=text, cls=cls)


def test_a_project_without_actions_has_none(tmp_path: Path) -> None:
    assert load_actions(tmp_path) == {}


def test_a_file_actions_py_is_loaded(tmp_path: Path) -> None:
    assert set(load_actions(write(tmp_path, actions=sdk_action("action_a")))) == {"action_a"}


@pytest.mark.parametrize("start", [{}, {"actions____init__": ""}], ids=["plain folder", "package"])
def test_every_file_below_the_folder_actions_is_loaded(tmp_path: Path, start: dict[str, str]) -> None:
    files = {
        "actions__actions": sdk_action("action_a"),
        "actions__cards__block": "from actions.prices import PRICE\n" + textwrap.dedent(sdk_action("action_b")),
        "actions__prices": "PRICE = 5",
    }
    assert set(load_actions(write(tmp_path, **start, **files))) == {"action_a", "action_b"}


def test_a_class_imported_from_the_projects_own_library_is_found(tmp_path: Path) -> None:
    write(tmp_path, actions="from lib.refunds import ActionOne", lib__refunds=sdk_action("action_refund"))
    assert set(load_actions(tmp_path)) == {"action_refund"}


def test_a_base_class_without_a_name_is_no_action(tmp_path: Path) -> None:
    write(
        tmp_path,
        actions="""
            from rasa_sdk import Action

            class BankAction(Action):
                account = 7

            class ActionOne(BankAction):
                def name(self):
                    return "action_a"
        """,
    )
    assert set(load_actions(tmp_path)) == {"action_a"}


def test_our_own_actions_get_what_their_constructor_names(tmp_path: Path) -> None:
    write(
        tmp_path,
        actions="""
            from bot.interfaces import Action

            class Answer(Action):
                def __init__(self, knowledge, limit=3):
                    self.given = (knowledge, limit)

                def name(self):
                    return "action_answer"
        """,
    )
    assert load_actions(tmp_path, context={"knowledge": "K", "llm": "L"})["action_answer"].given == ("K", 3)
    with pytest.raises(ConfigError, match=r"actions\.py:4: Answer needs the option 'knowledge'"):
        load_actions(tmp_path)


def test_two_projects_with_the_same_module_names_do_not_meet(tmp_path: Path) -> None:
    names = {}
    for project in ("one", "two", "one"):
        root = write(
            tmp_path / project,
            actions____init__="",
            actions__main=f"from lib.names import NAME\n{textwrap.dedent(sdk_action('action_' + project))}",
            lib__names=f"NAME = '{project}'",
        )
        names[project] = set(load_actions(root))
        assert project == sys.modules["lib.names"].NAME
        assert sys.path.count(str(root)) == 1
        assert sys.path[0] != str(root)
    assert names == {"one": {"action_one"}, "two": {"action_two"}}
    assert str(tmp_path / "two") not in sys.path


def test_a_library_of_the_same_name_does_not_hide_the_projects_actions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "library", actions____init__=sdk_action("action_of_the_library"))
    monkeypatch.syspath_prepend(tmp_path / "library")
    root = write(tmp_path / "project", actions__main=sdk_action("action_mine"))
    assert set(load_actions(root)) == {"action_mine"}


def test_a_module_or_a_path_of_the_project_may_be_named(tmp_path: Path) -> None:
    write(
        tmp_path, skills__refunds=sdk_action("action_a"), cards=sdk_action("action_b"), actions=sdk_action("action_c")
    )
    assert set(load_actions(tmp_path, ["skills.refunds", Path("cards.py")])) == {"action_a", "action_b", "action_c"}


async def test_an_action_imports_from_actions_beside_it_and_while_it_runs(tmp_path: Path) -> None:
    write(
        tmp_path,
        actions____init__="",
        actions__rates="RATE = 2",
        actions__late="LATE = 3",
        actions__deep____init__="from ..rates import RATE",
        actions__deep__more="from . import RATE\nfrom actions.rates import RATE as SAME",
        fees="FEE = 5",
        lib__late="LATER = 7",
        actions__bank="""
            import fees
            from rasa_sdk import Action
            from actions.deep.more import RATE, SAME
            from .rates import RATE as THIRD

            class ActionOne(Action):
                def name(self):
                    return "action_a"

                def run(self, dispatcher, tracker, domain):
                    from actions.late import LATE
                    from lib.late import LATER
                    dispatcher.utter_message(text=f"{RATE}{SAME}{THIRD}{LATE}{fees.FEE}{LATER}")
        """,
    )
    actions = load_actions(tmp_path)
    result = await run_action(actions["action_a"], tracker_in_form(), DOMAIN)
    assert result.messages[0]["text"] == "222357"


def test_a_folder_bot_of_the_project_is_said_to_hide_behind_ours(tmp_path: Path) -> None:
    write(tmp_path, bot__helpers="X = 1", actions="import sys\nfrom bot.helpers import X")
    with pytest.raises(ConfigError, match=r"actions\.py:2: .*'bot' is Frontdesk itself: call the project's own folder"):
        load_actions(tmp_path)


def test_an_unknown_module_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="no module with actions called 'bankng'"):
        load_actions(tmp_path, ["bankng"])


def test_the_projects_own_action_replaces_one_of_a_pack(tmp_path: Path) -> None:
    write(tmp_path, pack=sdk_action("action_a", "theirs"), actions=sdk_action("action_a", "mine"))
    assert type(load_actions(tmp_path, ["pack"])["action_a"]).__module__ == "actions"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "x = 1\nimport no_such_package\n",
            r"actions/a\.py:2: .*No module named 'no_such_package'.*pip install no_such",
        ),
        ("x = 1\n\ndef broken(:\n", r"actions/a\.py:3: .*SyntaxError"),
        ("def f():\n    return 1 / 0\n\nf()\n", r"actions/a\.py:2: .*ZeroDivisionError: division by zero"),
        ("import sys\nsys.exit(1)\n", r"actions/a\.py:2: .*SystemExit"),
    ],
)
def test_a_file_that_cannot_be_imported_is_named_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    write(tmp_path, actions__a="").joinpath("actions/a.py").write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_actions(tmp_path)
    assert load_actions(write(tmp_path, actions__a=sdk_action("action_a"))).keys() == {"action_a"}


def test_a_project_without_rasa_sdk_does_not_import_it(tmp_path: Path) -> None:
    import subprocess

    write(
        tmp_path,
        actions="""
            from bot.interfaces import Action

            class ActionOne(Action):
                def name(self):
                    return "action_a"
        """,
    )
    program = (
        "import sys; from pathlib import Path; from bot.custom_actions import load_actions;"
        "print(list(load_actions(Path(sys.argv[1]))), 'rasa_sdk' in sys.modules)"
    )
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout == "['action_a'] False\n"


# ---- running rasa-sdk's classes ------------------------------------------------------------------


async def run(root: Path, source: str, name: str, tracker: Tracker | None = None) -> ActionResult:
    actions = load_actions(write(root, actions=source))
    return await run_action(actions[name], tracker or tracker_in_form(), DOMAIN, idempotency_key="k1")


async def test_an_sdk_action_speaks_and_returns_events(tmp_path: Path) -> None:
    result = await run(
        tmp_path,
        """
        from rasa_sdk import Action
        from rasa_sdk.events import BotUttered, FollowupAction, SlotSet

        class ActionOne(Action):
            def name(self):
                return "action_a"

            async def run(self, dispatcher, tracker, domain):
                dispatcher.utter_message(response="utter_done", amount=5)
                dispatcher.utter_message(text="ok", buttons=[{"title": "A", "payload": "/a"}])
                return [SlotSet("amount", 5), FollowupAction("action_b"), BotUttered(text="hey")]
        """,
        "action_a",
    )
    assert result.events == [
        SlotSet(name="amount", value=5),
        FollowupAction(name="action_b"),
        BotUttered(text="hey", data={}),
    ]
    assert (result.messages[0]["response"], result.messages[0]["amount"]) == ("utter_done", 5)
    assert (result.messages[1]["text"], len(result.messages)) == ("ok", 2)


async def test_an_sdk_action_sees_the_conversation_as_rasa_shows_it(tmp_path: Path) -> None:
    tracker = tracker_in_form()
    tracker.apply(SlotSet(name="payee", value={"name": "Ben"}))
    result = await run(
        tmp_path,
        """
        from rasa_sdk import Action, Tracker
        from rasa_sdk.events import SlotSet

        class ActionOne(Action):
            def name(self):
                return "action_a"

            def run(self, dispatcher, tracker, domain):
                assert isinstance(tracker, Tracker)
                seen = {
                    "sender_id": tracker.sender_id,
                    "slot": tracker.get_slot("payee"),
                    "text": tracker.latest_message["text"],
                    "metadata": tracker.latest_message["metadata"],
                    "intent": tracker.get_intent_of_latest_message(),
                    "amount": next(tracker.get_latest_entity_values("amount"), None),
                    "loop": tracker.active_loop_name,
                    "loop_keys": sorted(tracker.active_loop),
                    "latest_action_name": tracker.latest_action_name,
                    "channel": tracker.get_latest_input_channel(),
                    "paused": tracker.is_paused(),
                    "last": tracker.get_last_event_for("user")["text"],
                    "events": [event["event"] for event in tracker.events],
                    "form": domain["forms"]["transfer_form"],
                }
                return [SlotSet("amount", seen)]
        """,
        "action_a",
        tracker,
    )
    event = result.events[0]
    assert isinstance(event, SlotSet)
    assert event.value == {
        "sender_id": "anna",
        "slot": {"name": "Ben"},
        "text": "100 to Ben",
        "metadata": {"customer": "7"},
        "intent": "inform",
        "amount": 100,
        "loop": "transfer_form",
        "loop_keys": ["is_interrupted", "name", "rejected", "trigger_message"],
        "latest_action_name": "action_listen",
        "channel": "rest",
        "paused": False,
        "last": "100 to Ben",
        "events": ["action", "user", "active_loop", "slot"],
        "form": {"required_slots": ["payee", "amount"]},
    }


async def test_an_action_may_scribble_on_its_arguments(tmp_path: Path) -> None:
    tracker = tracker_in_form()
    tracker.apply(SlotSet(name="payee", value={"name": "Ben"}))
    before = tracker.to_json()
    result = await run(
        tmp_path,
        """
        from rasa_sdk import Action

        class ActionOne(Action):
            def name(self):
                return "action_a"

            def run(self, dispatcher, tracker, domain):
                tracker.slots["payee"]["name"] = "Eve"
                tracker.latest_message["entities"].clear()
                tracker.events.clear()
                domain["forms"]["transfer_form"]["required_slots"].append("iban")
        """,
        "action_a",
        tracker,
    )
    assert result == ActionResult([], [])
    assert tracker.to_json() == before
    assert tracker.events[1].entities  # type: ignore[attr-defined]
    assert DOMAIN.raw["forms"]["transfer_form"]["required_slots"] == ["payee", "amount"]


@pytest.mark.parametrize(("definition", "on_the_loop"), [("def", False), ("async def", True)])
async def test_a_synchronous_action_runs_in_a_worker_thread(tmp_path: Path, definition: str, on_the_loop: bool) -> None:
    result = await run(
        tmp_path,
        f"""
        import threading
        from rasa_sdk import Action
        from rasa_sdk.events import SlotSet

        class ActionOne(Action):
            def name(self):
                return "action_a"

            {definition} run(self, dispatcher, tracker, domain):
                return [SlotSet("amount", threading.get_ident())]
        """,
        "action_a",
    )
    event = result.events[0]
    assert isinstance(event, SlotSet)
    assert (event.value == threading.get_ident()) is on_the_loop


async def test_a_rejection_is_ours(tmp_path: Path) -> None:
    with pytest.raises(ActionRejected, match="not now") as caught:
        await run(
            tmp_path,
            """
            from rasa_sdk import Action
            from rasa_sdk.interfaces import ActionExecutionRejection

            class ActionOne(Action):
                def name(self):
                    return "action_a"

                def run(self, dispatcher, tracker, domain):
                    raise ActionExecutionRejection("action_a", "not now")
            """,
            "action_a",
        )
    assert caught.value.action_name == "action_a"


FAILING = """
import sys
from {base} import Action

class ActionOne(Action):
    def name(self):
        return "action_a"

    {definition} run(self, dispatcher, tracker, domain):
        return self.balance("DE89 3704", dispatcher)

    def balance(self, iban, dispatcher):
        {statement}
"""


@pytest.mark.parametrize("base", ["rasa_sdk", "bot.interfaces"])
@pytest.mark.parametrize("definition", ["def", "async def"])
@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("return {}[iban]", r"^action 'action_a' failed at .*actions\.py:13: KeyError$"),
        ("sys.exit(iban)", r"^action 'action_a' failed at .*actions\.py:13: SystemExit$"),
        ("return 7", "must return a list of events, not a number"),
        ("return [{'event': 'slott'}]", "'action_a' returned something that is no event: .*Did you mean 'slot'"),
        ("return [{'event': 'slot'}]", "'action_a' returned something that is no event: .*needs a 'name'"),
        ("return [{'event': 'followup', 'name': [iban]}]", "'name' of the event 'followup' must be a text, not a list"),
        ("return [{'event': 'slot', 'name': 'amount', 'value': sys}]", "'action_a' .*cannot be stored.*module"),
        (
            "dispatcher.utter_message(text=[iban])",
            "'action_a' said .* no message: 'text' must be a text, not a list",
        ),
        (
            "dispatcher.utter_message(image=[iban])",
            "'action_a' said .* no message: 'image' must be a text",
        ),
    ],
)
async def test_a_failure_names_action_and_line_and_nothing_of_the_customer(
    tmp_path: Path, base: str, definition: str, statement: str, words: str
) -> None:
    source = FAILING.format(base=base, definition=definition, statement=statement)
    with pytest.raises(ActionError, match=words) as caught:
        await run(tmp_path, source, "action_a")
    assert "DE89" not in str(caught.value)


@pytest.mark.parametrize("returned", ["[None, 'utter_x', {}, SlotSet('amount', 1)]", "(SlotSet('amount', 1),)"])
async def test_what_is_no_event_at_all_is_passed_over_as_in_rasas_server(tmp_path: Path, returned: str) -> None:
    source = "from rasa_sdk.events import SlotSet\n" + FAILING.format(
        base="rasa_sdk", definition="def", statement=f"return {returned}"
    )
    assert (await run(tmp_path, source, "action_a")).events == [SlotSet(name="amount", value=1)]


async def test_a_single_event_without_a_list_is_nothing_and_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = FAILING.format(base="rasa_sdk", definition="def", statement="return {'event': 'restart'}")
    assert (await run(tmp_path, source, "action_a")).events == []
    assert re.search(r"action 'action_a' \(.*actions\.py:5\) returned no list of events: ignored", caplog.text)


async def test_our_own_actions_return_events_and_nothing_else(tmp_path: Path) -> None:
    for statement, words in (
        ("return {'event': 'restart'}", "must return a list of events, not an object"),
        ("return ['utter_x']", "returned something that is no event: an event must be an object, not a text"),
    ):
        source = FAILING.format(base="bot.interfaces", definition="def", statement=statement)
        with pytest.raises(ActionError, match=words):
            await run(tmp_path, source, "action_a")


async def test_a_number_that_is_said_is_a_text(tmp_path: Path) -> None:
    source = FAILING.format(base="rasa_sdk", definition="def", statement="dispatcher.utter_message(text=7.5)")
    assert (await run(tmp_path, source, "action_a")).messages[0]["text"] == "7.5"


async def test_an_action_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(custom_actions, "LONGEST_RUN", 0.01)
    with pytest.raises(ActionError, match=r"'action_a' .*actions\.py.* timed out"):
        await run(
            tmp_path,
            """
            import asyncio
            from bot.interfaces import Action

            class ActionOne(Action):
                def name(self):
                    return "action_a"

                async def run(self, dispatcher, tracker, domain):
                    await asyncio.Event().wait()
            """,
            "action_a",
        )


async def test_a_slot_that_the_domain_lacks_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = FAILING.format(base="bot.interfaces", definition="def", statement="return [SlotSet(name='ammount')]")
    await run(tmp_path, "from bot.events import SlotSet\n" + source, "action_a")
    assert "action 'action_a' set the slot 'ammount', which the domain does not have" in caplog.text


async def test_our_own_action_gets_our_tracker_and_the_idempotency_key(tmp_path: Path) -> None:
    tracker = tracker_in_form()
    result = await run(
        tmp_path,
        """
        from bot.events import SlotSet
        from bot.interfaces import Action

        class ActionOne(Action):
            def name(self):
                return "action_a"

            async def run(self, dispatcher, tracker, domain):
                tracker.slots["payee"] = "Eve"
                dispatcher.utter_message(text="done")
                return [SlotSet(name="amount", value=tracker.idempotency_key)]
        """,
        "action_a",
        tracker,
    )
    assert result.events == [SlotSet(name="amount", value="k1")]
    assert [message["text"] for message in result.messages] == ["done"]
    assert tracker.slots["payee"] is None


async def test_streamed_text_arrives_as_messages(tmp_path: Path) -> None:
    result = await run(
        tmp_path,
        """
        from rasa_sdk import Action

        class ActionOne(Action):
            def name(self):
                return "action_a"

            async def run(self, dispatcher, tracker, domain):
                await dispatcher.stream_start()
                await dispatcher.stream_chunk(text="one")
                await dispatcher.stream_chunk(text="two")
        """,
        "action_a",
    )
    assert [message["text"] for message in result.messages] == ["one", "two"]


async def test_the_cost_of_an_sdk_tracker_does_not_grow_with_the_history(tmp_path: Path) -> None:
    tracker = tracker_in_form()
    tracker.event_count = 10_000
    result = await run(
        tmp_path,
        """
        from rasa_sdk import Action
        from rasa_sdk.events import SlotSet

        class ActionOne(Action):
            def name(self):
                return "action_a"

            def run(self, dispatcher, tracker, domain):
                return [SlotSet("amount", len(tracker.events))]
        """,
        "action_a",
        tracker,
    )
    assert result.events == [SlotSet(name="amount", value=3)]


@pytest.mark.parametrize("base", ["rasa_sdk.forms", "bot.interfaces"])
@pytest.mark.parametrize(("definition", "on_the_loop"), [("def", False), ("async def", True)])
async def test_a_form_with_a_synchronous_method_runs_in_a_worker_thread(
    tmp_path: Path, base: str, definition: str, on_the_loop: bool
) -> None:
    tracker = tracker_in_form()
    tracker.apply(SlotSet(name="amount", value=5))
    result = await run(
        tmp_path,
        f"""
        import threading
        from {base} import FormValidationAction

        class ValidateTransferForm(FormValidationAction):
            def name(self):
                return "validate_transfer_form"

            {definition} validate_amount(self, value, dispatcher, tracker, domain):
                return {{"amount": threading.get_ident()}}
        """,
        "validate_transfer_form",
        tracker,
    )
    event = result.events[0]
    assert isinstance(event, SlotSet)
    assert (event.value == threading.get_ident()) is on_the_loop


# ---- rasa-sdk's forms ----------------------------------------------------------------------------

FORM = """
    from rasa_sdk.forms import FormValidationAction

    class ValidateTransferForm(FormValidationAction):
        def name(self):
            return "validate_transfer_form"

        async def required_slots(self, domain_slots, dispatcher, tracker, domain):
            return domain_slots + ["iban"] if tracker.get_slot("payee") == "New" else domain_slots

        def extract_iban(self, dispatcher, tracker, domain):
            return {"iban": None}

        def validate_amount(self, value, dispatcher, tracker, domain):
            if value > 1000:
                dispatcher.utter_message(response="utter_too_much")
                return {"amount": None}
            return {"amount": float(value)}

        async def validate_payee(self, value, dispatcher, tracker, domain):
            return {"payee": value.title()}
"""


async def test_the_candidates_of_this_turn_are_validated(tmp_path: Path) -> None:
    tracker = tracker_in_form()
    tracker.apply_all([SlotSet(name="payee", value="ben"), SlotSet(name="amount", value=100)])
    result = await run(tmp_path, FORM, "validate_transfer_form", tracker)
    assert result.events == [SlotSet(name="payee", value="Ben"), SlotSet(name="amount", value=100.0)]


async def test_a_refused_candidate_is_asked_for_again(tmp_path: Path) -> None:
    tracker = tracker_in_form()
    tracker.apply(SlotSet(name="amount", value=5000))
    result = await run(tmp_path, FORM, "validate_transfer_form", tracker)
    assert result.events == [SlotSet(name="amount", value=None)]
    assert result.messages[0]["response"] == "utter_too_much"


async def test_a_slot_of_an_earlier_turn_is_not_validated_again(tmp_path: Path) -> None:
    tracker = tracker_in_form()
    tracker.apply_all([SlotSet(name="amount", value=5000), ActionExecuted(name="action_listen"), UserUttered(text="x")])
    tracker.apply(SlotSet(name="payee", value="ben"))
    result = await run(tmp_path, FORM, "validate_transfer_form", tracker)
    assert result.events == [SlotSet(name="payee", value="Ben")]


async def test_required_slots_may_depend_on_what_was_said(tmp_path: Path) -> None:
    tracker = tracker_in_form()
    tracker.apply_all([SlotSet(name="amount", value=5), ActionExecuted(name="action_listen"), UserUttered(text="x")])
    tracker.apply(SlotSet(name="payee", value="new"))
    result = await run(tmp_path, FORM, "validate_transfer_form", tracker)
    assert result.events == [
        SlotSet(name="payee", value="New"),
        SlotSet(name="requested_slot", value="iban"),
    ]


async def test_a_slot_is_extracted_by_its_own_method(tmp_path: Path) -> None:
    source = FORM.replace('{"iban": None}', '{"iban": tracker.latest_message["text"].upper()}')
    source = source.replace('tracker.get_slot("payee") == "New"', "True")
    tracker = tracker_in_form()
    tracker.apply(SlotSet(name="amount", value=5))
    result = await run(tmp_path, source, "validate_transfer_form", tracker)
    assert SlotSet(name="iban", value="100 TO BEN") in result.events
    assert result.events[-1] == SlotSet(name="requested_slot", value="payee")


async def test_slots_outside_forms_are_validated_by_a_validation_action(tmp_path: Path) -> None:
    tracker = tracker_in_form()
    tracker.apply(SlotSet(name="amount", value="7"))
    result = await run(
        tmp_path,
        """
        from rasa_sdk.forms import ValidationAction

        class ValidateSlots(ValidationAction):
            def validate_amount(self, value, dispatcher, tracker, domain):
                return {"amount": int(value)}
        """,
        "action_validate_slot_mappings",
        tracker,
    )
    assert result.events == [SlotSet(name="amount", value=7)]


async def test_a_running_form_asks_its_validation_action(tmp_path: Path) -> None:
    domain = Domain(
        slots={name: SlotSpec(name) for name in ("payee", "amount", "iban", "requested_slot")},
        forms={"transfer_form": FormSpec("transfer_form", ("payee", "amount"))},
        actions=("validate_transfer_form",),
        raw=DOMAIN.raw,
    )
    tracker = Tracker.new("rest:anna", domain)
    tracker.apply_all(
        [
            UserUttered(text="transfer"),
            ActionExecuted(name="transfer_form"),
            ActiveLoopChanged(name="transfer_form"),
            SlotSet(name="requested_slot", value="payee"),
            ActionExecuted(name="action_listen"),
            UserUttered(text="new, 5000"),
            SlotSet(name="payee", value="new"),
            SlotSet(name="amount", value=5000),
        ]
    )
    custom = load_actions(write(tmp_path, actions=FORM))
    events = await Actions(domain, custom).run("transfer_form", tracker)
    slots = {event.name: event.value for event in events if isinstance(event, SlotSet)}
    assert slots == {"payee": "New", "amount": None, "requested_slot": "amount"}


def test_what_a_bad_event_quotes_stays_out_of_the_message() -> None:
    with pytest.raises(ActionError) as raised:
        read_events([{"event": "slot", "name": "x", "timestamp": "SECRET WORDS"}], "action_a", Domain())
    assert "SECRET" not in str(raised.value)


def test_something_cancelled_inside_an_action_is_a_failed_action() -> None:
    class Cancelled(Action):
        def name(self) -> str:
            return "action_cancelled"

        async def run(self, dispatcher: Any, tracker: Any, domain: Any) -> Any:
            task = asyncio.ensure_future(asyncio.sleep(99))
            task.cancel()
            await task

    with pytest.raises(ActionError, match="cancelled"):
        asyncio.run(run_action(Cancelled(), Tracker.new("rest:a", Domain()), Domain()))
