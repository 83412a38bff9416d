"""Policies: what comes next. One per file, named as in Rasa."""
