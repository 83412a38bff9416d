"""The banking pack's forms and actions: all that `actions: [banking]` in config.yml brings.

What they need of a bank is in `core_banking.py`.
"""

from __future__ import annotations

from .banking_accounts import ActionBalance as ActionBalance
from .banking_accounts import ActionSpending as ActionSpending
from .banking_accounts import ActionTransactions as ActionTransactions
from .banking_accounts import BalanceForm as BalanceForm
from .banking_accounts import MovementsForm as MovementsForm
from .banking_accounts import SpendingForm as SpendingForm
from .banking_accounts import TransactionsForm as TransactionsForm
from .banking_branches import ActionFindBranch as ActionFindBranch
from .banking_branches import AskCity as AskCity
from .banking_branches import BranchForm as BranchForm
from .banking_cards import ActionBlockCard as ActionBlockCard
from .banking_cards import ActionNoNewCard as ActionNoNewCard
from .banking_cards import ActionReplaceCard as ActionReplaceCard
from .banking_cards import AskBlockConfirmed as AskBlockConfirmed
from .banking_cards import AskCardToBlock as AskCardToBlock
from .banking_cards import AskCardToReplace as AskCardToReplace
from .banking_cards import AskReplaceConfirmed as AskReplaceConfirmed
from .banking_cards import BlockCardForm as BlockCardForm
from .banking_cards import CardForm as CardForm
from .banking_cards import ReplaceCardForm as ReplaceCardForm
from .banking_confirming import ConfirmedForm as ConfirmedForm
from .banking_disputes import ActionDispute as ActionDispute
from .banking_disputes import AskDisputedCharge as AskDisputedCharge
from .banking_disputes import DisputeForm as DisputeForm
from .banking_payments import ActionPayBill as ActionPayBill
from .banking_payments import ActionTransfer as ActionTransfer
from .banking_payments import AskBillConfirmed as AskBillConfirmed
from .banking_payments import AskBiller as AskBiller
from .banking_payments import AskPayee as AskPayee
from .banking_payments import AskSourceAccount as AskSourceAccount
from .banking_payments import AskTransferConfirmed as AskTransferConfirmed
from .banking_payments import BillForm as BillForm
from .banking_payments import PaymentForm as PaymentForm
from .banking_payments import TransferForm as TransferForm
from .banking_session import ActionLogOut as ActionLogOut
from .banking_session import ActionNewRequest as ActionNewRequest
from .banking_session import ActionSessionStart as ActionSessionStart
from .banking_session import ActionWhoAmI as ActionWhoAmI
from .banking_session import AskCustomerNumber as AskCustomerNumber
from .conversation import ActionBareAnswer as ActionBareAnswer
from .conversation import ActionCancel as ActionCancel
from .conversation import ActionGoodbye as ActionGoodbye
from .conversation import ActionHandoff as ActionHandoff
from .conversation import ActionRepeat as ActionRepeat
from .conversation import ActionRestart as ActionRestart
