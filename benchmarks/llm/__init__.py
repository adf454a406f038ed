"""The language-model engine against the usual way."""
