"""Questions to a language model behind an OpenAI-compatible address (``/chat/completions``), for the kind ``asked``:
prompts, requests with limits and retries, the log of answers, and their probabilities in a table."""
