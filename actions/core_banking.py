"""What the banking actions need of a bank's own systems: the one interface to implement for a real bank.

Write a class with these calls, and hand it over with `use_bank(MyBank(...))` before the server starts.
Money is a whole number of the currency's smallest unit (pence), never a float. A call that changes
something takes an `idempotency_key`: with a key that was seen before it changes nothing and answers as it
did the first time. `actions/demo_bank.py` is a complete example.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

CHECKING, SAVINGS, CREDIT_CARD = "checking", "savings", "credit_card"
"""Kinds of account; also the values of the entity `account`."""


# ---- what a bank knows ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Challenge:
    """A one-time code is on its way. `shown_code` is set by a demo alone, which has no telephone to send it to."""

    id: str
    shown_code: str | None = None


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer who has been identified; `address` is where cards are sent."""

    id: str
    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Account:
    """An account. `available` is what can be spent now; for a credit card, `balance` is what is owed (negative)."""

    id: str
    kind: str
    number: str
    balance: int
    available: int
    can_pay: bool

    @property
    def masked(self) -> str:
        """The number as it may be shown."""
        return f"••{self.number[-4:]}"


@dataclass(frozen=True, slots=True)
class Payee:
    """Someone the customer pays. `nickname` is the customer's own word; `own_account` is set for their own accounts."""

    id: str
    name: str
    nickname: str = ""
    own_account: Account | None = None


@dataclass(frozen=True, slots=True)
class Biller:
    """A company whose bills can be paid; `names` are other words for it, in any language."""

    id: str
    name: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Card:
    """A payment card; `kind` is debit_card or credit_card, `status` is active, blocked or replaced."""

    id: str
    kind: str
    number: str
    status: str

    @property
    def masked(self) -> str:
        """The number as it may be shown."""
        return f"••{self.number[-4:]}"


@dataclass(frozen=True, slots=True)
class Transaction:
    """Money that moved: `amount` is negative when it left the account. `account_kind` is where."""

    id: str
    account_kind: str
    day: date
    merchant: str
    category: str
    amount: int


@dataclass(frozen=True, slots=True)
class Branch:
    """A branch, or a cash machine by itself; `city` and `hours` by language. `has_atm`: a branch with a machine."""

    name: str
    address: str
    city: dict[str, str]
    hours: dict[str, str]
    has_atm: bool


@dataclass(frozen=True, slots=True)
class Receipt:
    """Something was done, under this reference."""

    reference: str


# ---- what can go wrong ---------------------------------------------------------------------------


class BankError(Exception):
    """The bank's systems declined."""


class WrongCode(BankError):
    """Customer number and code do not belong together (or the code is old): which of the two is not said."""

    def __init__(self, attempts_left: int) -> None:
        super().__init__("customer number and code do not belong together")
        self.attempts_left = attempts_left


class IdentificationLocked(BankError):
    """Too many wrong codes: nobody is identified in this conversation for a while."""


class InsufficientFunds(BankError):
    """The account does not hold enough. `available` is what it holds."""

    def __init__(self, available: int) -> None:
        super().__init__("not enough money in the account")
        self.available = available


class LimitExceeded(BankError):
    """More than may be sent today. `remaining` is what still may."""

    def __init__(self, remaining: int) -> None:
        super().__init__("over the daily limit")
        self.remaining = remaining


class UnknownObject(BankError):
    """The customer has no such account, payee, card or transaction."""


class BankUnavailable(BankError):
    """No answer from the bank's systems: whether anything was done is not known."""


# ---- what a bank does ----------------------------------------------------------------------------


class CoreBanking(Protocol):
    """A bank's systems. Any call may raise `BankUnavailable`; one about another customer's things, `UnknownObject`."""

    currency: str
    """ISO 4217."""
    demo_customers: Sequence[str]
    """Customer numbers to try; empty in a real bank."""

    async def start_identification(self, conversation_id: str, customer_number: str) -> Challenge:
        """Send a one-time code. An unknown number gets a challenge like any other. `IdentificationLocked`."""

    async def identify(self, conversation_id: str, challenge_id: str, code: str, *, idempotency_key: str) -> Customer:
        """Who it is. A code is good once. `WrongCode`, `IdentificationLocked`."""

    async def customer(self, customer_id: str) -> Customer: ...

    async def accounts(self, customer_id: str) -> Sequence[Account]: ...

    async def payees(self, customer_id: str) -> Sequence[Payee]:
        """Whom the customer may pay, own accounts included."""

    async def billers(self) -> Sequence[Biller]: ...

    async def cards(self, customer_id: str) -> Sequence[Card]: ...

    async def transactions(
        self,
        customer_id: str,
        *,
        account_kind: str | None = None,
        merchant: str | None = None,
        category: str | None = None,
        first_day: date | None = None,
        last_day: date | None = None,
        limit: int = 500,
    ) -> Sequence[Transaction]:
        """Newest first, both days included; `merchant` is any part of its name."""

    async def remaining_limit(self, customer_id: str) -> int:
        """What may still be sent to others today."""

    async def transfer(
        self, customer_id: str, account_id: str, payee_id: str, amount: int, *, idempotency_key: str
    ) -> Receipt:
        """Send money. `InsufficientFunds`, `LimitExceeded`."""

    async def pay_bill(
        self, customer_id: str, account_id: str, biller_id: str, amount: int, *, idempotency_key: str
    ) -> Receipt:
        """Pay a bill. `InsufficientFunds`, `LimitExceeded`."""

    async def block_card(self, customer_id: str, card_id: str, *, idempotency_key: str) -> Receipt:
        """From now on the card pays nothing; a card that is blocked already stays so."""

    async def replace_card(self, customer_id: str, card_id: str, *, idempotency_key: str) -> Receipt:
        """Send a new card to the customer's address and block the old one."""

    async def dispute(self, customer_id: str, transaction_id: str, reason: str, *, idempotency_key: str) -> Receipt:
        """Open a case about a transaction; a second case about the same one is the first."""

    async def branches(self, city: str | None = None) -> Sequence[Branch]:
        """All, or those of a city, named in any language."""


_bank: CoreBanking | None = None


def get_bank() -> CoreBanking:
    """The bank in use: the one handed to `use_bank`, else the demo bank in `demo_bank.db`."""
    if _bank is None:
        from .demo_bank import DemoBank

        use_bank(DemoBank("demo_bank.db"))
    assert _bank is not None
    return _bank


def use_bank(bank: CoreBanking | None) -> None:
    """Work with this bank from now on; None goes back to the demo bank."""
    global _bank
    _bank = bank
