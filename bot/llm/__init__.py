"""Language models: one provider per file."""
