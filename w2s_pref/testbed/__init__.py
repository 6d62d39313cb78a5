"""A small world of chats whose truth is known: generator, oracle, a ladder of models."""
