"""`frontdesk interactive`: talk to the bot, correct it, and keep what was said as training data."""
