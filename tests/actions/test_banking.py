"""The demo bank does everything once; the banking forms identify first and do only what was confirmed."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from bot.actions import banking
from bot.actions.banking_confirming import offer, terms
from bot.actions.banking_identification import IdentifiedForm
from bot.actions.banking_words import BadAmount, Period, in_the_past, is_greeting, money, read_amount, read_period
from bot.actions.conversation import (
    ActionBareAnswer,
    ActionCancel,
    ActionGoodbye,
    ActionHandoff,
    ActionRepeat,
    ActionRestart,
)
from bot.actions.core_banking import (
    BankUnavailable,
    IdentificationLocked,
    InsufficientFunds,
    LimitExceeded,
    Receipt,
    UnknownObject,
    WrongCode,
    use_bank,
)
from bot.actions.demo_bank import TEST_CODE, DemoBank, use_test_bank

from bot.domain import Domain, SlotSpec
from bot.events import (
    ActionExecuted,
    ActiveLoopChanged,
    BotUttered,
    ConversationPaused,
    Event,
    FollowupAction,
    Restarted,
    SessionStarted,
    SlotSet,
    UserUttered,
)
from bot.interfaces import Action, Dispatcher
from bot.messages import BotMessage
from bot.tracker import Tracker

PACK = Path(__file__).parents[2] / "domains" / "banking"
RAW: dict[str, Any] = yaml.safe_load((PACK / "domain.yml").read_text("utf-8"))
DOMAIN = Domain(slots={name: SlotSpec(name) for name in [*RAW["slots"], "requested_slot"]})


@pytest.fixture
def bank() -> Iterator[DemoBank]:
    bank = use_test_bank()
    yield bank
    use_bank(None)
    bank.close()


def tracker(**slots: Any) -> Tracker:
    """A conversation of Anna, who is identified unless a slot says otherwise."""
    made = Tracker.new("test:1", DOMAIN)
    for name, value in {"customer_id": "C1", **slots}.items():
        made.apply(SlotSet(name=name, value=value))
    made.idempotency_key = "test:1/message/1"
    return made


def say(made: Tracker, text: str, intent: str = "inform", **candidates: Any) -> Tracker:
    """The customer says this while a form runs, and these slots are what the mappings filled."""
    entities: list[dict[str, Any]] = []
    parse = {"intent": {"name": intent, "confidence": 1.0}, "entities": entities}
    made.apply(UserUttered(text=text, parse_data=parse))
    made.apply(ActionExecuted(name="a form"))
    for name, value in candidates.items():
        made.apply(SlotSet(name=name, value=value))
    return made


def run(action: Action, made: Tracker) -> tuple[list[str], dict[str, Any], list[Event]]:
    """The responses it uttered, the slots it set, all its events."""
    dispatcher = Dispatcher()
    events = [event for event in asyncio.run(action.run(dispatcher, made, RAW)) if isinstance(event, Event)]
    slots = {event.name: event.value for event in events if isinstance(event, SlotSet)}
    return [message["response"] for message in dispatcher.messages], slots, events


async def balance(bank: DemoBank, account: str = "A1") -> int:
    return sum(one.balance for one in await bank.accounts("C1") if one.id == account)


# ---- the demo bank -------------------------------------------------------------------------------


async def _retried_transfer(bank: DemoBank) -> tuple[Receipt, Receipt, int]:
    before = await balance(bank)
    first = await bank.transfer("C1", "A1", "P1", 5_000, idempotency_key="k")
    second = await bank.transfer("C1", "A1", "P1", 5_000, idempotency_key="k")
    return first, second, before - await balance(bank)


def test_a_retried_transfer_is_carried_out_once(bank: DemoBank) -> None:
    first, second, moved = asyncio.run(_retried_transfer(bank))
    assert first == second
    assert moved == 5_000


def test_transfers_at_the_same_moment_with_one_key_are_one(bank: DemoBank) -> None:
    async def many() -> int:
        before = await balance(bank)
        await asyncio.gather(*(bank.transfer("C1", "A1", "P1", 100, idempotency_key="k") for _ in range(20)))
        return before - await balance(bank)

    assert asyncio.run(many()) == 100


def test_a_transfer_survives_in_the_file_and_is_not_seeded_over(tmp_path: Path) -> None:
    first = DemoBank(tmp_path / "bank.db")
    receipt = asyncio.run(first.transfer("C1", "A1", "P1", 5_000, idempotency_key="k"))
    first.close()
    again = DemoBank(tmp_path / "bank.db")
    assert asyncio.run(again.transfer("C1", "A1", "P1", 5_000, idempotency_key="k")) == receipt
    assert asyncio.run(balance(again)) == 184_250 - 5_000
    again.close()


def test_nothing_moves_without_enough_money(bank: DemoBank) -> None:
    with pytest.raises(InsufficientFunds) as error:
        asyncio.run(bank.transfer("C1", "A1", "P1", 190_000, idempotency_key="k"))
    assert error.value.available == 184_250
    assert asyncio.run(balance(bank)) == 184_250


def test_the_daily_limit_counts_what_was_sent_today(bank: DemoBank) -> None:
    async def twice() -> None:
        await bank.transfer("C1", "A2", "P1", 450_000, idempotency_key="a")
        await bank.transfer("C1", "A2", "P1", 60_000, idempotency_key="b")

    with pytest.raises(LimitExceeded) as error:
        asyncio.run(twice())
    assert error.value.remaining == 50_000


def test_money_between_own_accounts_has_no_limit_and_arrives(bank: DemoBank) -> None:
    asyncio.run(bank.transfer("C1", "A2", "own-A1", 300_000, idempotency_key="a"))
    assert asyncio.run(balance(bank)) == 184_250 + 300_000


def test_another_customers_account_cannot_pay(bank: DemoBank) -> None:
    with pytest.raises(UnknownObject):
        asyncio.run(bank.transfer("C1", "B1", "P1", 100, idempotency_key="k"))


def test_another_customers_card_and_charge_are_unknown(bank: DemoBank) -> None:
    with pytest.raises(UnknownObject):
        asyncio.run(bank.block_card("C1", "K3", idempotency_key="k"))
    with pytest.raises(UnknownObject):
        asyncio.run(bank.dispute("C1", "TC2001", "?", idempotency_key="k"))


def test_a_charge_has_one_case(bank: DemoBank) -> None:
    first = asyncio.run(bank.dispute("C1", "TC1001", "not mine", idempotency_key="a"))
    assert asyncio.run(bank.dispute("C1", "TC1001", "really not", idempotency_key="b")) == first


def test_a_bill_is_paid_once(bank: DemoBank) -> None:
    receipts = [asyncio.run(bank.pay_bill("C1", "A1", "L1", 4_000, idempotency_key="k")) for _ in range(2)]
    assert receipts[0] == receipts[1]
    assert asyncio.run(balance(bank)) == 184_250 - 4_000


def test_a_replaced_card_is_gone_and_a_new_one_active(bank: DemoBank) -> None:
    asyncio.run(bank.replace_card("C1", "K1", idempotency_key="k"))
    debit = [card for card in asyncio.run(bank.cards("C1")) if card.kind == "debit_card"]
    assert sorted(card.status for card in debit) == ["active", "replaced"]


def test_the_same_seed_and_day_make_the_same_bank() -> None:
    one, other = DemoBank(seed=3), DemoBank(seed=3)
    assert asyncio.run(one.transactions("C1")) == asyncio.run(other.transactions("C1"))


def test_the_number_of_a_retried_block_is_the_same(bank: DemoBank) -> None:
    receipts = [asyncio.run(bank.block_card("C1", "K1", idempotency_key="k")) for _ in range(2)]
    assert receipts[0] == receipts[1]


# ---- one-time codes ------------------------------------------------------------------------------


class Clock:
    """A clock that is turned by hand."""

    def __init__(self) -> None:
        self.time = datetime(2026, 5, 4, 12)

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timed(clock: Clock) -> DemoBank:
    return DemoBank(now=clock, new_code=lambda: TEST_CODE)


def identify(bank: DemoBank, challenge: str, code: str = TEST_CODE, key: str = "k", conversation: str = "c") -> str:
    return str(asyncio.run(bank.identify(conversation, challenge, code, idempotency_key=key)).id)


def start(bank: DemoBank, number: str = "10002001", conversation: str = "c") -> str:
    return str(asyncio.run(bank.start_identification(conversation, number)).id)


def test_number_and_code_identify(timed: DemoBank) -> None:
    assert identify(timed, start(timed)) == "C1"


def test_a_code_is_good_once(timed: DemoBank) -> None:
    challenge = start(timed)
    identify(timed, challenge, key="first")
    with pytest.raises(WrongCode):
        identify(timed, challenge, key="second")


def test_a_turn_taken_again_after_its_code_was_used_still_identifies(timed: DemoBank) -> None:
    challenge = start(timed)
    assert identify(timed, challenge, key="same") == identify(timed, challenge, key="same")


def test_a_code_expires_after_five_minutes(timed: DemoBank, clock: Clock) -> None:
    challenge = start(timed)
    clock.time += timedelta(minutes=5, seconds=1)
    with pytest.raises(WrongCode):
        identify(timed, challenge)


def test_a_code_is_good_in_its_own_conversation_alone(timed: DemoBank) -> None:
    with pytest.raises(WrongCode):
        identify(timed, start(timed, conversation="c"), conversation="another")


def test_an_unknown_number_behaves_as_a_wrong_code(timed: DemoBank) -> None:
    with pytest.raises(WrongCode) as unknown:
        identify(timed, start(timed, "99999999", "a"), conversation="a")
    with pytest.raises(WrongCode) as wrong:
        identify(timed, start(timed, "10002001", "b"), "000000", key="other", conversation="b")
    assert (str(unknown.value), unknown.value.attempts_left) == (str(wrong.value), wrong.value.attempts_left)


def test_three_wrong_codes_lock_the_conversation_for_a_while(timed: DemoBank, clock: Clock) -> None:
    challenge = start(timed)
    for attempt in range(2):
        with pytest.raises(WrongCode):
            identify(timed, challenge, "000000", key=str(attempt))
    with pytest.raises(IdentificationLocked):
        identify(timed, challenge, "000000", key="third")
    with pytest.raises(IdentificationLocked):
        identify(timed, challenge, key="the right one")
    with pytest.raises(IdentificationLocked):
        start(timed)
    clock.time += timedelta(minutes=31)
    assert identify(timed, start(timed), key="later") == "C1"


def test_a_retried_wrong_code_counts_once(timed: DemoBank) -> None:
    challenge = start(timed)
    for _ in range(5):
        with pytest.raises(WrongCode) as error:
            identify(timed, challenge, "000000", key="same")
    assert error.value.attempts_left == 2


def test_new_conversations_do_not_help_to_guess(timed: DemoBank) -> None:
    for attempt in range(10):
        challenge = start(timed, conversation=f"c{attempt}")
        with pytest.raises(WrongCode):
            identify(timed, challenge, "000000", key=str(attempt), conversation=f"c{attempt}")
    with pytest.raises(IdentificationLocked):
        start(timed, conversation="one more")


def test_codes_are_random_and_not_stored(tmp_path: Path) -> None:
    bank = DemoBank(tmp_path / "bank.db")
    codes = {asyncio.run(bank.start_identification(f"c{i}", "10002001")).shown_code for i in range(20)}
    bank.close()
    assert len(codes) > 15
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert not any(str(code).encode() in stored for code in codes)


# ---- identification in a form --------------------------------------------------------------------


def test_nothing_is_asked_before_the_customer_number(bank: DemoBank) -> None:
    responses, slots, _ = run(banking.TransferForm(), tracker(customer_id=None))
    assert slots["requested_slot"] == "customer_number"
    assert responses == []


def test_the_code_never_enters_a_slot(bank: DemoBank) -> None:
    made = tracker(customer_id=None, requested_slot="customer_number")
    _, slots, _ = run(banking.BalanceForm(), say(made, "１０００２００１"))
    assert slots["customer_number"] == "••••2001"
    for name, value in slots.items():
        made.apply(SlotSet(name=name, value=value))
    responses, slots, events = run(banking.BalanceForm(), say(made, "it's 246 810"))
    assert slots["customer_id"] == "C1"
    assert responses == ["utter_identified"]
    assert TEST_CODE not in str(events)


def test_a_message_cannot_say_who_the_customer_is(bank: DemoBank) -> None:
    assert RAW["slots"]["customer_id"]["mappings"] == [{"type": "custom"}]
    made = tracker(customer_id=None, requested_slot="customer_number")
    _, slots, _ = run(banking.BalanceForm(), say(made, '/inform{"customer_id": "C1"}'))
    assert slots.get("customer_id") is None


@pytest.mark.parametrize(
    "action",
    [
        banking.ActionBalance(),
        banking.ActionTransactions(),
        banking.ActionSpending(),
        banking.ActionTransfer(),
        banking.ActionPayBill(),
        banking.ActionBlockCard(),
        banking.ActionReplaceCard(),
        banking.ActionDispute(),
    ],
    ids=lambda action: str(action.name()),
)
def test_an_action_on_an_account_refuses_whoever_is_not_identified(bank: DemoBank, action: Action) -> None:
    made = tracker(customer_id=None, payee="Wei Chen", amount="5.00", source_account="checking", card="debit_card")
    made.apply(SlotSet(name="disputed_charge", value="TC1001"))
    made.apply(SlotSet(name="confirmed", value=True))
    made.apply(SlotSet(name="offer", value=terms(made)))
    responses, _, _ = run(action, made)
    assert responses == ["utter_identify_first"]
    assert asyncio.run(balance(bank)) == 184_250


def test_a_locked_conversation_is_asked_nothing_more(bank: DemoBank) -> None:
    made = tracker(customer_id=None, identification_locked=True)
    _, slots, _ = run(banking.TransferForm(), made)
    assert slots["requested_slot"] is None


def test_every_form_on_an_account_identifies() -> None:
    public = {"branch_form"}
    classes = [cls for cls in vars(banking).values() if isinstance(cls, type) and issubclass(cls, IdentifiedForm)]
    assert set(RAW["forms"]) - public == {getattr(cls, "form", "") for cls in classes} - {""}


# ---- amounts and accounts ------------------------------------------------------------------------


def test_amounts_are_exact() -> None:
    assert read_amount(0.1) + read_amount(0.2) == 30
    assert read_amount("1234.5") == 123_450
    assert money(123_450, "GBP") == "£1,234.50"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (0, "not_positive"),
        (-5, "not_positive"),
        (1.005, "too_precise"),
        (1e30, "too_large"),
        ("a lot", "unclear"),
        ("nan", "unclear"),
        ("inf", "unclear"),
        (True, "unclear"),
        ({"from": 1, "to": 2}, "unclear"),
        (None, "unclear"),
    ],
)
def test_an_amount_that_cannot_be_sent_says_why(bank: DemoBank, value: Any, reason: str) -> None:
    with pytest.raises(BadAmount) as error:
        read_amount(value)
    assert error.value.reason == reason
    assert f"utter_amount_{reason}" in (PACK / "responses.yml").read_text("utf-8")


def test_an_amount_over_the_limit_is_asked_again(bank: DemoBank) -> None:
    made = say(tracker(requested_slot="amount", payee="Wei Chen"), "5500", amount=5500)
    responses, slots, _ = run(banking.TransferForm(), made)
    assert responses == ["utter_over_limit"]
    assert slots["amount"] is None


def test_an_amount_the_account_does_not_hold_is_asked_again(bank: DemoBank) -> None:
    made = tracker(requested_slot="amount", payee="Wei Chen", source_account="checking")
    responses, slots, _ = run(banking.TransferForm(), say(made, "1900", amount=1900))
    assert responses == ["utter_insufficient_funds"]
    assert slots["amount"] is None


def test_an_unknown_payee_is_asked_again(bank: DemoBank) -> None:
    made = say(tracker(requested_slot="payee"), "Bob", payee="Bob")
    responses, slots, _ = run(banking.TransferForm(), made)
    assert responses == ["utter_unknown_payee"]
    assert slots["payee"] is None


def test_a_payee_is_known_by_part_of_the_name_or_the_customers_own_word(bank: DemoBank) -> None:
    for said, payee in [("wei", "Wei Chen"), ("my landlord", "Oakfield Lettings"), ("MUM", "Maria Lopez")]:
        _, slots, _ = run(banking.TransferForm(), say(tracker(requested_slot="payee"), said, payee=said))
        assert slots["payee"] == payee


def test_a_credit_card_cannot_pay(bank: DemoBank) -> None:
    made = tracker(source_account="credit_card")
    outcome = asyncio.run(banking.TransferForm().validate_source_account("credit_card", Dispatcher(), made, RAW))
    assert outcome == {"source_account": None}


def test_a_month_said_early_in_the_year_is_the_last_one() -> None:
    made = tracker()
    period = read_period({"from": "2027-10-01T00:00:00.000+00:00", "to": "2027-11-01T00:00:00.000+00:00"}, made)
    assert period is not None
    today = datetime(2027, 3, 1).date()
    first, last = datetime(2026, 10, 1).date(), datetime(2026, 10, 31).date()
    assert in_the_past(period, today) == Period(first, last)


def said_in(text: str, value: Any, words: str) -> Tracker:
    """A conversation whose latest message has this time in it."""
    entity = {"entity": "time", "value": value, "start": text.index(words), "end": text.index(words) + len(words)}
    made = tracker()
    parse = {"intent": {"name": "list_transactions", "confidence": 1.0}, "entities": [entity]}
    made.apply(UserUttered(text=text, parse_data=parse))
    return made


@pytest.mark.parametrize(
    ("text", "words"), [("what did i spend since monday", "monday"), ("从星期一开始的交易", "星期一")]
)
def test_since_a_weekday_is_since_the_last_one(text: str, words: str) -> None:
    today = datetime.now().date()
    ahead = today + timedelta(days=7 - today.weekday())
    period = read_period(ahead.isoformat(), said_in(text, ahead.isoformat(), words))
    assert period is not None
    assert period.first == (ahead - timedelta(days=7))
    assert period.last >= today


@pytest.mark.parametrize(("text", "words"), [("Good morning!", "morning"), ("早上好", "早上")])
def test_a_greeting_is_no_period(text: str, words: str) -> None:
    assert is_greeting("2026-11-25", said_in(text, "2026-11-25", words))
    assert not is_greeting("2026-11-25", said_in("this morning", "2026-11-25", "this morning"))


# ---- confirming ----------------------------------------------------------------------------------

TERMS = {"payee": "Wei Chen", "amount": "50.00", "source_account": "checking"}


def confirming(**more: Any) -> Tracker:
    """The transfer has been shown, and yes or no is awaited."""
    made = tracker(**TERMS, requested_slot="confirmed", **more)
    made.apply(SlotSet(name="offer", value=terms(made)))
    return made


def test_yes_to_what_was_shown_counts(bank: DemoBank) -> None:
    _, slots, _ = run(banking.TransferForm(), say(confirming(), "yes", "affirm", confirmed=True))
    assert slots["confirmed"] is True


def test_yes_with_another_amount_is_no_yes(bank: DemoBank) -> None:
    made = say(confirming(), "yes, make it 500", "affirm", amount=500, confirmed=True)
    _, slots, _ = run(banking.TransferForm(), made)
    assert (slots["amount"], slots["confirmed"]) == ("500.00", None)


def test_a_yes_that_is_not_sure_is_none(bank: DemoBank) -> None:
    made = say(confirming(), "maybe", "affirm", confirmed=True)
    assert made.latest_message is not None
    made.latest_message.parse_data["intent"]["confidence"] = 0.6  # type: ignore[index]
    responses, slots, _ = run(banking.TransferForm(), made)
    assert (responses, slots["confirmed"]) == (["utter_yes_or_no"], None)


def test_a_part_that_is_to_change_is_asked_for_at_any_question(bank: DemoBank) -> None:
    made = tracker(payee="Wei Chen", amount="5.00", requested_slot="source_account")
    _, slots, _ = run(banking.TransferForm(), say(made, "change the amount"))
    assert slots["amount"] is None
    _, slots, _ = run(banking.TransferForm(), say(confirming(), "change the payee to tom"))
    assert slots["payee"] == "Tom Baker"


def test_the_other_account_is_the_one_that_was_not_chosen(bank: DemoBank) -> None:
    _, slots, _ = run(banking.TransferForm(), say(confirming(), "yes but from my other account"))
    assert slots["source_account"] == "savings"


def test_a_blocked_card_is_not_asked_about_again(bank: DemoBank) -> None:
    asyncio.run(bank.block_card("C1", "K1", idempotency_key="k"))
    made = say(tracker(), "block my debit card", "block_card", card="debit_card")
    _, slots, _ = run(banking.BlockCardForm(), made)
    for name, value in slots.items():
        made.apply(SlotSet(name=name, value=value))
    responses, slots, _ = run(banking.ActionBlockCard(), made)
    assert responses == ["utter_card_already_blocked"]
    assert slots["card_offer"] is True


def test_no_asks_what_to_change_and_no_again_ends(bank: DemoBank) -> None:
    made = say(confirming(), "no", "deny", confirmed=False)
    _, slots, _ = run(banking.TransferForm(), made)
    assert slots["confirmed"] is None
    made.apply(SlotSet(name="offer", value=slots["offer"]))
    responses, _, _ = run(banking.AskTransferConfirmed(), made)
    assert responses == ["utter_change_transfer"]
    _, slots, _ = run(banking.TransferForm(), say(made, "no", "deny", confirmed=False))
    assert slots["confirmed"] is False


def test_a_confirmed_transfer_is_carried_out_once_however_often_the_turn_is_taken(bank: DemoBank) -> None:
    for _ in range(3):
        responses, slots, _ = run(banking.ActionTransfer(), confirming(confirmed=True))
        assert responses == ["utter_payment_done"]
    assert asyncio.run(balance(bank)) == 184_250 - 5_000
    assert slots["amount"] is None
    assert slots["confirmed"] is None


def test_terms_that_changed_after_the_question_are_not_carried_out(bank: DemoBank) -> None:
    made = confirming(confirmed=True)
    made.apply(SlotSet(name="amount", value="900.00"))
    responses, _, _ = run(banking.ActionTransfer(), made)
    assert responses == ["utter_not_sent"]
    assert asyncio.run(balance(bank)) == 184_250


def test_a_bank_that_does_not_answer_is_not_reported_as_done_or_undone(
    bank: DemoBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(*args: Any, **kwargs: Any) -> Receipt:
        raise BankUnavailable

    monkeypatch.setattr(bank, "transfer", silent)
    responses, _, _ = run(banking.ActionTransfer(), confirming(confirmed=True))
    assert responses == ["utter_payment_unknown"]


# ---- stopping and handing over -------------------------------------------------------------------


def test_cancel_in_a_form_forgets_what_was_said(bank: DemoBank) -> None:
    made = tracker(**TERMS)
    made.apply(ActiveLoopChanged(name="transfer_form"))
    responses, slots, events = run(ActionCancel(), made)
    assert responses == ["utter_cancelled"]
    assert slots == dict.fromkeys(["payee", "amount", "source_account", "confirmed", "requested_slot"])
    assert ActiveLoopChanged(name=None) in events


def test_cancel_outside_a_form_claims_nothing() -> None:
    responses, _, events = run(ActionCancel(), tracker())
    assert responses == ["utter_nothing_to_cancel"]
    assert events == []


def test_a_handoff_leaves_the_form_and_keeps_quiet() -> None:
    made = tracker()
    made.apply(ActiveLoopChanged(name="transfer_form"))
    responses, _, events = run(ActionHandoff(), made)
    assert responses == ["utter_handoff"]
    assert events[-1] == ConversationPaused()
    assert ActiveLoopChanged(name=None) in events


@pytest.mark.parametrize(
    ("text", "is_back"),
    [("restart", True), ("/restart", True), ("重新开始", True), ("the app keeps restarting on my phone", False)],
)
def test_while_a_human_agent_has_the_conversation_only_a_bare_restart_brings_the_bot_back(
    text: str, is_back: bool
) -> None:
    made = tracker()
    made.apply(ConversationPaused())
    responses, _, events = run(ActionRestart(), say(made, text, "restart"))
    assert responses == (["utter_restart"] if is_back else [])
    assert events == ([Restarted()] if is_back else [FollowupAction(name="action_listen")])


def test_a_yes_that_a_form_did_not_ask_for_does_not_ask_what_is_wanted() -> None:
    made = say(tracker(), "yes", "affirm")
    assert run(ActionBareAnswer(), made)[0] == ["utter_what_next"]
    made.apply(ActiveLoopChanged(name="transfer_form"))
    assert run(ActionBareAnswer(), made)[0] == ["utter_not_an_answer"]


def test_goodbye_leaves_a_form_and_says_so() -> None:
    made = tracker(**TERMS)
    made.apply(ActiveLoopChanged(name="transfer_form"))
    responses, slots, events = run(ActionGoodbye(), made)
    assert responses == ["utter_cancelled", "utter_goodbye"]
    assert slots["amount"] is None
    assert ActiveLoopChanged(name=None) in events
    assert run(ActionGoodbye(), tracker())[0] == ["utter_goodbye"]


def test_what_was_said_last_is_said_again_without_the_forms_question() -> None:
    made = say(tracker(), "50")
    made.apply(BotUttered.of(BotMessage(text="earlier")))
    say(made, "1900")
    made.apply(BotUttered.of(BotMessage(text="not enough")))
    made.apply(SlotSet(name="requested_slot", value="amount"))
    made.apply(BotUttered.of(BotMessage(text="how much?")))
    _, _, events = run(ActionRepeat(), say(made, "what?", "repeat"))
    assert [event.text for event in events if isinstance(event, BotUttered)] == ["not enough"]


def test_a_session_that_ends_in_the_middle_of_a_form_says_so() -> None:
    made = tracker(**TERMS)
    assert run(banking.ActionSessionStart(), made)[0] == []
    made.apply(ActiveLoopChanged(name="transfer_form"))
    responses, _, events = run(banking.ActionSessionStart(), made)
    assert responses == ["utter_session_expired"]
    assert isinstance(events[0], SessionStarted)


def test_logging_out_forgets_the_customer_and_the_request(bank: DemoBank) -> None:
    responses, slots, _ = run(banking.ActionLogOut(), confirming())
    assert responses == ["utter_logged_out"]
    assert [slots[name] for name in ("customer_id", "amount", "offer", "challenge")] == [None] * 4


# ---- the pack's words ----------------------------------------------------------------------------


@pytest.mark.parametrize("pack", ["banking", "common"])
def test_every_response_is_written_in_both_languages(pack: str) -> None:
    path = PACK.parent / pack / "responses.yml"
    for name, variations in yaml.safe_load(path.read_text("utf-8"))["responses"].items():
        for variation in variations:
            chinese = variation["translation"]["zh"]
            assert len(chinese.get("buttons", [])) == len(variation.get("buttons", [])), name
            placeholders = {word.split("}")[0] for word in variation["text"].split("{")[1:]}
            assert {word.split("}")[0] for word in chinese["text"].split("{")[1:]} <= placeholders, name


def test_every_response_an_action_utters_is_in_the_pack() -> None:
    folder = PACK.parents[1]
    known = {
        name
        for pack in ("banking", "common")
        for name in yaml.safe_load((PACK.parent / pack / "responses.yml").read_text("utf-8"))["responses"]
    }
    for path in (folder / "actions").glob("ban*.py"):
        uttered = set(re.findall(r"\"(utter_\w+)\"", path.read_text("utf-8")))
        assert uttered <= known, uttered - known


# ---- what is confirmed is done once ----


def test_a_yes_that_had_to_be_given_twice_pays_once(bank: DemoBank) -> None:
    """The first yes paid, and its turn was lost before it was stored: the second is for the same question."""
    made = confirming()
    made.slots["order"] = "the question's own key"
    made.slots["confirmed"] = True
    for turn in ("m1", "m2"):
        made.idempotency_key = turn
        responses, _, _ = run(banking.ActionTransfer(), made)
        assert responses == ["utter_payment_done"]
    assert len(bank._db.execute("SELECT * FROM orders").fetchall()) == 1


def test_the_same_terms_asked_again_are_the_same_order() -> None:
    made = tracker(payee="Tom Baker", amount=50, source_account="checking")
    made.idempotency_key = "first"
    made.apply_all(offer(made))
    made.idempotency_key = "second"
    made.apply_all(offer(made))
    assert made.slots["order"] == "first"
    made.apply(SlotSet(name="amount", value=60))
    made.apply_all(offer(made))
    assert made.slots["order"] == "second"


def test_the_right_code_for_ones_own_number_forgives_nothing_tried_with_anothers(bank: DemoBank) -> None:
    async def guess() -> None:
        for round_ in range(2):
            other = await bank.start_identification("rest:eve", "10002002")
            for attempt in range(2):
                key = f"{round_}-{attempt}"
                with pytest.raises((WrongCode, IdentificationLocked)):
                    await bank.identify("rest:eve", other.id, "000000", idempotency_key=key)
            own = await bank.start_identification("rest:eve", "10002001")
            await bank.identify("rest:eve", own.id, TEST_CODE, idempotency_key=f"own-{round_}")

    with pytest.raises(IdentificationLocked):
        asyncio.run(guess())


def test_a_yes_that_was_on_its_way_when_the_question_came_is_no_answer_to_it(bank: DemoBank) -> None:
    made = confirming()
    made.apply(BotUttered(text="Send £500?", timestamp=time.time() + 60))
    _, slots, _ = run(banking.TransferForm(), say(made, "yes", "affirm", confirmed=True))
    assert slots["confirmed"] is None
