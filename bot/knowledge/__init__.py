"""What a pack's documents say: read into passages, found by a question, quoted with their source."""
