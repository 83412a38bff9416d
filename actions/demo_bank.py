"""A small bank in one SQLite file, so that the banking pack can be tried as it is. Not for real money.

Seeded on first use: two customers, their accounts, cards, payees and ninety days of transactions up to
today, the same for every seed and day.

    10002001  Anna Schmidt       10002002  陈伟 (Chen Wei)
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import json
import random
import secrets
import sqlite3
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from .core_banking import (
    CHECKING,
    CREDIT_CARD,
    SAVINGS,
    Account,
    Biller,
    Branch,
    Card,
    Challenge,
    Customer,
    IdentificationLocked,
    InsufficientFunds,
    LimitExceeded,
    Payee,
    Receipt,
    Transaction,
    UnknownObject,
    WrongCode,
    use_bank,
)

CODE_LIFETIME = timedelta(minutes=5)
LOCK_TIME = timedelta(minutes=30)
MOST_WRONG_CODES = 3
"""In one conversation, before it is locked."""
MOST_WRONG_CODES_PER_NUMBER = 10
"""For one customer number over all conversations, so that new conversations do not help to guess."""
DAILY_LIMIT = 500_000
"""As the documents in domains/banking/knowledge say."""
TEST_CODE = "246810"

_SCHEMA = """
CREATE TABLE customers (id TEXT PRIMARY KEY, number TEXT UNIQUE, name TEXT, address TEXT);
CREATE TABLE accounts (id TEXT PRIMARY KEY, customer_id TEXT, kind TEXT, number TEXT, balance INTEGER,
                       overdraft INTEGER);
CREATE TABLE payees (id TEXT PRIMARY KEY, customer_id TEXT, name TEXT, nickname TEXT);
CREATE TABLE billers (id TEXT PRIMARY KEY, name TEXT, names TEXT);
CREATE TABLE cards (id TEXT PRIMARY KEY, customer_id TEXT, kind TEXT, number TEXT, status TEXT);
CREATE TABLE transactions (id TEXT PRIMARY KEY, customer_id TEXT, account_id TEXT, day TEXT, merchant TEXT,
                           category TEXT, amount INTEGER);
CREATE TABLE orders (kind TEXT, idempotency_key TEXT, customer_id TEXT, subject TEXT, amount INTEGER, day TEXT,
                     reference TEXT, PRIMARY KEY (kind, idempotency_key));
CREATE TABLE challenges (id TEXT PRIMARY KEY, conversation_id TEXT, number_hash TEXT, customer_id TEXT, code_hash TEXT,
                         expires TEXT, used_by TEXT);
CREATE TABLE wrong_codes (idempotency_key TEXT PRIMARY KEY, conversation_id TEXT, number_hash TEXT, at TEXT,
                          forgiven INTEGER DEFAULT 0);
"""

_P = ParamSpec("_P")
_T = TypeVar("_T")


def _in_thread(
    method: Callable[Concatenate[DemoBank, _P], _T],
) -> Callable[Concatenate[DemoBank, _P], Coroutine[Any, Any, _T]]:
    """SQLite may wait for the disk, so its calls leave the event loop; one at a time."""

    @functools.wraps(method)
    async def call(self: DemoBank, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        def locked() -> _T:
            with self._lock:
                return method(self, *args, **kwargs)

        return await asyncio.to_thread(locked)

    return call


class DemoBank:
    """`CoreBanking` in a SQLite file (`:memory:` for tests). `now` and `new_code` can be set by tests."""

    currency: str = "GBP"
    demo_customers: Sequence[str] = ("10002001", "10002002")

    def __init__(
        self,
        path: str | Path = ":memory:",
        *,
        seed: int = 7,
        now: Callable[[], datetime] = datetime.now,
        new_code: Callable[[], str] = lambda: f"{secrets.randbelow(1_000_000):06d}",
    ) -> None:
        self._now = now
        self._new_code = new_code
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        with self._writing():
            if not self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'customers'").fetchone():
                for statement in _SCHEMA.split(";"):
                    self._db.execute(statement)
                _seed(self._db, random.Random(seed), now().date())

    def close(self) -> None:
        """Let the file go."""
        self._db.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """All or nothing, and nobody else writes meanwhile."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _one(self, sql: str, *values: Any) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self._db.execute(sql, values).fetchone()
        return row

    def _number(self, sql: str, *values: Any) -> int:
        row = self._one(sql, *values)
        return int(row[0] or 0) if row else 0

    # ---- who is it ----

    @_in_thread
    def start_identification(self, conversation_id: str, customer_number: str) -> Challenge:
        number_hash = _hash(customer_number)
        with self._writing():
            if self._is_locked(conversation_id, number_hash):
                raise IdentificationLocked
            customer = self._one("SELECT id FROM customers WHERE number = ?", customer_number)
            challenge = secrets.token_urlsafe(12)
            code = self._new_code()
            # An unknown number gets a code too; it is good for nothing.
            self._db.execute(
                "INSERT INTO challenges VALUES (?, ?, ?, ?, ?, ?, NULL)",
                (
                    challenge,
                    conversation_id,
                    number_hash,
                    customer["id"] if customer else None,
                    _hash(challenge + code),
                    (self._now() + CODE_LIFETIME).isoformat(),
                ),
            )
        return Challenge(challenge, code)

    @_in_thread
    def identify(self, conversation_id: str, challenge_id: str, code: str, *, idempotency_key: str) -> Customer:
        found = self._one(
            "SELECT * FROM challenges WHERE id = ? AND conversation_id = ?", challenge_id, conversation_id
        )
        number_hash = found["number_hash"] if found else ""
        with self._writing():
            if found and found["used_by"] == idempotency_key:
                return self._customer(found["customer_id"])
            if self._is_locked(conversation_id, number_hash):
                raise IdentificationLocked
            good = (
                found is not None
                and found["used_by"] is None
                and found["expires"] >= self._now().isoformat()
                and secrets.compare_digest(found["code_hash"], _hash(challenge_id + code))
                and found["customer_id"] is not None
            )
            if good and found is not None:
                self._db.execute("UPDATE challenges SET used_by = ? WHERE id = ?", (idempotency_key, challenge_id))
                # The right code for one's own number forgives nothing that was tried with another's.
                forgive = "UPDATE wrong_codes SET forgiven = 1 WHERE conversation_id = ? AND number_hash = ?"
                self._db.execute(forgive, (conversation_id, number_hash))
                return self._customer(found["customer_id"])
            self._db.execute(
                "INSERT OR IGNORE INTO wrong_codes VALUES (?, ?, ?, ?, 0)",
                (idempotency_key, conversation_id, number_hash, self._now().isoformat()),
            )
            wrong = self._wrong_codes(conversation_id)
        # Raised after the commit: a wrong code counts.
        if wrong >= MOST_WRONG_CODES:
            raise IdentificationLocked
        raise WrongCode(MOST_WRONG_CODES - wrong)

    def _wrong_codes(self, conversation_id: str) -> int:
        since = (self._now() - LOCK_TIME).isoformat()
        return self._number(
            "SELECT count(*) FROM wrong_codes WHERE conversation_id = ? AND at > ? AND NOT forgiven",
            conversation_id,
            since,
        )

    def _is_locked(self, conversation_id: str, number_hash: str) -> bool:
        since = (self._now() - LOCK_TIME).isoformat()
        of_number = self._number(
            "SELECT count(*) FROM wrong_codes WHERE number_hash = ? AND at > ? AND NOT forgiven", number_hash, since
        )
        return self._wrong_codes(conversation_id) >= MOST_WRONG_CODES or of_number >= MOST_WRONG_CODES_PER_NUMBER

    # ---- reading ----

    @_in_thread
    def customer(self, customer_id: str) -> Customer:
        return self._customer(customer_id)

    def _customer(self, customer_id: str) -> Customer:
        row = self._one("SELECT id, name, address FROM customers WHERE id = ?", customer_id)
        if row is None:
            raise UnknownObject("no such customer")
        return Customer(*row)

    @_in_thread
    def accounts(self, customer_id: str) -> list[Account]:
        return self._accounts(customer_id)

    def _accounts(self, customer_id: str) -> list[Account]:
        rows = self._db.execute("SELECT * FROM accounts WHERE customer_id = ? ORDER BY id", (customer_id,))
        return [_account(row) for row in rows]

    @_in_thread
    def payees(self, customer_id: str) -> list[Payee]:
        return self._payees(customer_id)

    def _payees(self, customer_id: str) -> list[Payee]:
        rows = self._db.execute(
            "SELECT id, name, nickname FROM payees WHERE customer_id = ? ORDER BY id", (customer_id,)
        )
        own = [account for account in self._accounts(customer_id) if account.can_pay]
        return [*(Payee(*row) for row in rows), *(Payee(f"own-{a.id}", a.kind, own_account=a) for a in own)]

    @_in_thread
    def billers(self) -> list[Biller]:
        rows = self._db.execute("SELECT * FROM billers ORDER BY id")
        return [Biller(row["id"], row["name"], tuple(json.loads(row["names"]))) for row in rows]

    @_in_thread
    def cards(self, customer_id: str) -> list[Card]:
        rows = self._db.execute(
            "SELECT id, kind, number, status FROM cards WHERE customer_id = ? ORDER BY id", (customer_id,)
        )
        return [Card(*row) for row in rows]

    @_in_thread
    def transactions(
        self,
        customer_id: str,
        *,
        account_kind: str | None = None,
        merchant: str | None = None,
        category: str | None = None,
        first_day: date | None = None,
        last_day: date | None = None,
        limit: int = 500,
    ) -> list[Transaction]:
        rows = self._db.execute(
            "SELECT t.id, a.kind, t.day, t.merchant, t.category, t.amount FROM transactions t"
            " JOIN accounts a ON a.id = t.account_id WHERE t.customer_id = ?"
            " AND (? IS NULL OR a.kind = ?) AND (? IS NULL OR instr(lower(t.merchant), lower(?)))"
            " AND (? IS NULL OR t.category = ?) AND t.day >= ? AND t.day <= ?"
            " ORDER BY t.day DESC, t.rowid DESC LIMIT ?",
            (
                customer_id,
                *(account_kind, account_kind, merchant, merchant, category, category),
                (first_day or date.min).isoformat(),
                (last_day or date.max).isoformat(),
                limit,
            ),
        )
        return [
            Transaction(row[0], row[1], date.fromisoformat(row[2]), row[3], row[4], row[5]) for row in rows.fetchall()
        ]

    @_in_thread
    def remaining_limit(self, customer_id: str) -> int:
        return self._remaining_limit(customer_id)

    def _remaining_limit(self, customer_id: str) -> int:
        sent = self._number(
            "SELECT sum(amount) FROM orders WHERE customer_id = ? AND day = ?"
            " AND kind IN ('transfer', 'bill') AND subject NOT LIKE 'own-%'",
            customer_id,
            self._today(),
        )
        return max(0, DAILY_LIMIT - sent)

    @_in_thread
    def branches(self, city: str | None = None) -> list[Branch]:
        wanted = (city or "").casefold()
        return [b for b in _BRANCHES if not wanted or wanted in (name.casefold() for name in b.city.values())]

    # ---- doing ----

    @_in_thread
    def transfer(
        self, customer_id: str, account_id: str, payee_id: str, amount: int, *, idempotency_key: str
    ) -> Receipt:
        payees = {payee.id: payee for payee in self._payees(customer_id)}
        if payee_id not in payees:
            raise UnknownObject("no such payee")
        payee = payees[payee_id]
        if payee.own_account and payee.own_account.id == account_id:
            raise UnknownObject("an account cannot pay itself")
        return self._send("transfer", customer_id, account_id, payee_id, payee, amount, idempotency_key)

    @_in_thread
    def pay_bill(
        self, customer_id: str, account_id: str, biller_id: str, amount: int, *, idempotency_key: str
    ) -> Receipt:
        row = self._one("SELECT name FROM billers WHERE id = ?", biller_id)
        if row is None:
            raise UnknownObject("no such biller")
        return self._send(
            "bill", customer_id, account_id, biller_id, Payee(biller_id, row["name"]), amount, idempotency_key
        )

    def _send(
        self, kind: str, customer_id: str, account_id: str, subject: str, to: Payee, amount: int, idempotency_key: str
    ) -> Receipt:
        if amount <= 0:
            raise ValueError(f"an amount is a positive number of pence, not {amount}")
        with self._writing():
            if done := self._done(kind, idempotency_key):
                return done
            account = next((a for a in self._accounts(customer_id) if a.id == account_id and a.can_pay), None)
            if account is None:
                raise UnknownObject("no such account")
            if to.own_account is None and amount > (remaining := self._remaining_limit(customer_id)):
                raise LimitExceeded(remaining)
            if amount > account.available:
                raise InsufficientFunds(account.available)
            receipt = self._order(kind, idempotency_key, customer_id, subject, amount)
            category = "utilities" if kind == "bill" else "other"
            self._move(customer_id, account_id, -amount, to.own_account.kind if to.own_account else to.name, category)
            if to.own_account:
                self._move(customer_id, to.own_account.id, amount, account.kind, category)
        return receipt

    def _move(self, customer_id: str, account_id: str, amount: int, merchant: str, category: str) -> None:
        self._db.execute("UPDATE accounts SET balance = balance + ? WHERE id = ?", (amount, account_id))
        self._db.execute(
            "INSERT INTO transactions VALUES (?, ?, ?, ?, ?, ?, ?)",
            (f"T{secrets.token_hex(4)}", customer_id, account_id, self._today(), merchant, category, amount),
        )

    @_in_thread
    def block_card(self, customer_id: str, card_id: str, *, idempotency_key: str) -> Receipt:
        with self._writing():
            done = self._done("block", idempotency_key)
            return done or self._end_card("block", "blocked", customer_id, card_id, idempotency_key)

    @_in_thread
    def replace_card(self, customer_id: str, card_id: str, *, idempotency_key: str) -> Receipt:
        with self._writing():
            if done := self._done("replace", idempotency_key):
                return done
            receipt = self._end_card("replace", "replaced", customer_id, card_id, idempotency_key)
            self._db.execute(
                "INSERT INTO cards SELECT ?, customer_id, kind, substr(number, 1, 12) || ?, 'active' FROM cards"
                " WHERE id = ?",
                (f"K{secrets.token_hex(4)}", f"{secrets.randbelow(10_000):04d}", card_id),
            )
            return receipt

    def _end_card(self, kind: str, status: str, customer_id: str, card_id: str, idempotency_key: str) -> Receipt:
        changed = self._db.execute(
            "UPDATE cards SET status = ? WHERE id = ? AND customer_id = ? AND status != 'replaced'",
            (status, card_id, customer_id),
        )
        if changed.rowcount == 0:
            raise UnknownObject("no such card")
        return self._order(kind, idempotency_key, customer_id, card_id, 0)

    @_in_thread
    def dispute(self, customer_id: str, transaction_id: str, reason: str, *, idempotency_key: str) -> Receipt:
        with self._writing():
            if done := self._done("dispute", idempotency_key):
                return done
            known = "SELECT amount FROM transactions WHERE id = ? AND customer_id = ?"
            row = self._one(known, transaction_id, customer_id)
            if row is None:
                raise UnknownObject("no such transaction")
            case = self._one("SELECT reference FROM orders WHERE kind = 'dispute' AND subject = ?", transaction_id)
            if case:
                return Receipt(case["reference"])
            return self._order("dispute", idempotency_key, customer_id, transaction_id, -int(row["amount"]))

    def _done(self, kind: str, idempotency_key: str) -> Receipt | None:
        sql = "SELECT reference FROM orders WHERE kind = ? AND idempotency_key = ?"
        row = self._one(sql, kind, idempotency_key)
        return Receipt(row["reference"]) if row else None

    def _order(self, kind: str, idempotency_key: str, customer_id: str, subject: str, amount: int) -> Receipt:
        reference = f"{kind[:2].upper()}-{secrets.randbelow(10**8):08d}"
        self._db.execute(
            "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?)",
            (kind, idempotency_key, customer_id, subject, amount, self._today(), reference),
        )
        return Receipt(reference)

    def _today(self) -> str:
        return self._now().date().isoformat()


def use_test_bank() -> DemoBank:
    """A fresh bank in memory, in use from now on; every one-time code is 246810."""
    bank = DemoBank(":memory:", new_code=lambda: TEST_CODE)
    use_bank(bank)
    return bank


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _account(row: sqlite3.Row) -> Account:
    balance: int = row["balance"]
    kind: str = row["kind"]
    return Account(row["id"], kind, row["number"], balance, balance + row["overdraft"], kind != CREDIT_CARD)


# ---- the demo's data -----------------------------------------------------------------------------

_CUSTOMERS = [
    ("C1", "10002001", "Anna Schmidt", "14 Orchard Road, Bristol BS1 4QT"),
    ("C2", "10002002", "陈伟", "27 Faulkner Street, Manchester M1 4EE"),
]
# id, customer, kind, number, balance in pence, what may be spent beyond it
_ACCOUNTS = [
    ("A1", "C1", CHECKING, "60481234", 184_250, 0),
    ("A2", "C1", SAVINGS, "60485678", 620_000, 0),
    ("A3", "C1", CREDIT_CARD, "4539780012349012", -31_275, 200_000),
    ("B1", "C2", CHECKING, "60492345", 326_080, 0),
    ("B2", "C2", SAVINGS, "60496789", 1_250_000, 0),
    ("B3", "C2", CREDIT_CARD, "4539780098763456", -8_840, 300_000),
]
_PAYEES = [
    ("P1", "C1", "Wei Chen", ""),
    ("P2", "C1", "Maria Lopez", "mum"),
    ("P3", "C1", "Tom Baker", ""),
    ("P4", "C1", "Oakfield Lettings", "landlord"),
    ("P5", "C2", "王芳", "妈妈"),
    ("P6", "C2", "李娜", ""),
    ("P7", "C2", "张伟", ""),
    ("P8", "C2", "Anna Schmidt", ""),
    ("P9", "C2", "Oakfield Lettings", "房东"),
]
_BILLERS = [
    ("L1", "City Power", ["electricity", "power", "energy", "电费", "电力公司", "国家电网"]),
    ("L2", "Thames Water", ["water", "水费", "自来水公司"]),
    ("L3", "British Gas", ["gas", "煤气费", "燃气费", "燃气公司", "煤气"]),
    ("L4", "BT", ["broadband", "internet", "wifi", "landline", "宽带费", "网费", "宽带", "上网费"]),
    ("L5", "Vodafone", ["phone", "mobile", "telephone", "沃达丰", "话费", "手机费", "电话费"]),
    ("L6", "Council Tax", ["council", "市政税", "地方税", "市政费"]),
]
_CARDS = [
    ("K1", "C1", "debit_card", "4929110022337788", "active"),
    ("K2", "C1", "credit_card", "4539780012349012", "active"),
    ("K3", "C2", "debit_card", "4929110055664411", "active"),
    ("K4", "C2", "credit_card", "4539780098763456", "active"),
]
# merchant, category, pounds from and to, which account by its place
_SHOPS = [
    ("Tesco", "groceries", 12, 78, 0),
    ("Sainsbury's", "groceries", 8, 64, 0),
    ("Lidl", "groceries", 9, 42, 0),
    ("Pret A Manger", "restaurants", 4, 13, 2),
    ("Nando's", "restaurants", 15, 48, 2),
    ("Starbucks", "restaurants", 3, 9, 2),
    ("Transport for London", "transport", 3, 19, 0),
    ("Uber", "transport", 7, 31, 2),
    ("Shell", "transport", 30, 66, 0),
    ("Amazon", "shopping", 9, 120, 2),
    ("IKEA", "shopping", 20, 140, 2),
    ("Marks & Spencer", "shopping", 14, 85, 0),
    ("Netflix", "entertainment", 11, 12, 2),
    ("Vue Cinema", "entertainment", 9, 27, 2),
    ("Boots", "health", 5, 33, 0),
    ("City Power", "utilities", 48, 92, 0),
    ("BT", "utilities", 32, 33, 0),
]
# The same for every seed: merchant, category, pence, days ago, account
_KNOWN = [
    ("Northwind Electronics", "shopping", -24_999, 6, 2),
    ("Netflix", "entertainment", -1_099, 3, 2),
    ("Tesco", "groceries", -2_345, 1, 0),
    ("Salary", "other", 265_000, 12, 0),
    ("Salary", "other", 265_000, 42, 0),
    ("Salary", "other", 265_000, 73, 0),
]
_WEEKDAYS = {"en": "Monday to Friday 9:00–17:00", "zh": "周一至周五 9:00–17:00"}
_SIX_DAYS = {"en": "Monday to Friday 9:00–17:30, Saturday 10:00–14:00", "zh": "周一至周五 9:00–17:30，周六 10:00–14:00"}
_ALWAYS = {"en": "24 hours a day", "zh": "24 小时"}
_LONDON = {"en": "London", "zh": "伦敦"}
_MANCHESTER = {"en": "Manchester", "zh": "曼彻斯特"}
_BRANCHES = [
    Branch("London City", "82 Cornhill, EC3V 3ND", _LONDON, _SIX_DAYS, True),
    Branch("London Chinatown", "12 Gerrard Street, W1D 5PR", _LONDON, _SIX_DAYS, True),
    Branch("King's Cross cash machine", "Pancras Road, N1C 4QP", _LONDON, _ALWAYS, False),
    Branch("Manchester Central", "40 King Street, M2 6BA", _MANCHESTER, _SIX_DAYS, True),
    Branch("Manchester Piccadilly cash machine", "Piccadilly Station, M1 2WD", _MANCHESTER, _ALWAYS, False),
    Branch("Birmingham", "18 Colmore Row, B3 2QD", {"en": "Birmingham", "zh": "伯明翰"}, _WEEKDAYS, True),
    Branch("Bristol", "55 Corn Street, BS1 1HT", {"en": "Bristol", "zh": "布里斯托"}, _WEEKDAYS, True),
    Branch("Leeds", "31 Park Row, LS1 5HN", {"en": "Leeds", "zh": "利兹"}, _WEEKDAYS, False),
    Branch("Edinburgh", "9 St Andrew Square, EH2 2AU", {"en": "Edinburgh", "zh": "爱丁堡"}, _SIX_DAYS, True),
    Branch("Glasgow", "77 Buchanan Street, G1 3HL", {"en": "Glasgow", "zh": "格拉斯哥"}, _WEEKDAYS, True),
]


def _seed(db: sqlite3.Connection, draw: random.Random, today: date) -> None:
    """Fill empty tables. Balances are those of `_ACCOUNTS` after all these transactions."""
    db.executemany("INSERT INTO customers VALUES (?, ?, ?, ?)", _CUSTOMERS)
    db.executemany("INSERT INTO accounts VALUES (?, ?, ?, ?, ?, ?)", _ACCOUNTS)
    db.executemany("INSERT INTO payees VALUES (?, ?, ?, ?)", _PAYEES)
    billers = [(id, name, json.dumps(names)) for id, name, names in _BILLERS]
    db.executemany("INSERT INTO billers VALUES (?, ?, ?)", billers)
    db.executemany("INSERT INTO cards VALUES (?, ?, ?, ?, ?)", _CARDS)
    for customer, *_ in _CUSTOMERS:
        accounts = [account[0] for account in _ACCOUNTS if account[1] == customer]
        rows = [(days, accounts[place], name, kind, pence) for name, kind, pence, days, place in _KNOWN]
        for _ in range(60):
            name, kind, low, high, place = draw.choice(_SHOPS)
            pence = -draw.randint(low * 100, high * 100)
            rows.append((draw.randint(2, 90), accounts[place], name, kind, pence))
        rows.sort(key=lambda row: -row[0])
        db.executemany(
            "INSERT INTO transactions VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    f"T{customer}{number:03d}",
                    customer,
                    account,
                    (today - timedelta(days)).isoformat(),
                    name,
                    kind,
                    pence,
                )
                for number, (days, account, name, kind, pence) in enumerate(rows, 1)
            ],
        )
