"""Chat messages of every dialect, read as one: OpenAI, Responses API, Anthropic, Bedrock, Gemini, OpenTelemetry, ….

`read` gives the shape that trainers and endpoints take, and says what that shape cannot carry; `text_of` gives what a
person would read. docs/contracts.md has the table of what is read, kept and left out. Start with `parts.py`.

parts           a message's content, part by part
chat            a conversation of any dialect
openai          chat completions, and the items of the Responses API
anthropic       its blocks, and Bedrock's
gemini          its contents
otel            OpenTelemetry's parts
openinference   flattened attributes
langchain       dumps of its messages
finish          why a model stopped
called          calls of tools that stand in a text
"""

from schemas.messages.chat import Chat, Conversation, last_text, parse, read, read_messages, text_of, to_chat

__all__ = ["Chat", "Conversation", "last_text", "parse", "read", "read_messages", "text_of", "to_chat"]
