"""Custom actions: one file per industry, and the few that every pack shares."""
