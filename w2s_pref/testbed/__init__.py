"""A small world of chats whose truth is known: generator, oracle and a ladder of language models."""
