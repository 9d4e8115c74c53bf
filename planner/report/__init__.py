"""How a plan looks as text, Markdown and JSON."""
