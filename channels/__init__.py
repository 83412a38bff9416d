"""One file per platform: what comes in becomes a `UserMessage`, what goes out comes from a `BotMessage`."""
