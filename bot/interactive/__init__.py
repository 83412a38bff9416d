"""`frontdesk interactive`: talk to the bot, correct it, and keep what was said as training data."""

from bot.interactive.session import interactive

__all__ = ["interactive"]
