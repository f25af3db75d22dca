"""Chat messages of every dialect, read as one: OpenAI, Responses API, Anthropic, Bedrock, Gemini, OpenTelemetry, ….

`read` gives the shape that trainers and endpoints take, and says what that shape cannot carry; `text_of` gives what a
person would read. One file a family of dialects; docs/contracts.md has the table of what is read, kept and left out.
Start with `schemas/messages/parts.py`.
"""

from schemas.messages.chat import Chat, Conversation, last_text, parse, read, read_messages, text_of, to_chat

__all__ = ["Chat", "Conversation", "last_text", "parse", "read", "read_messages", "text_of", "to_chat"]
