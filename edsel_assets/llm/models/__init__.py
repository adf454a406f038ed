"""Models and their tokenizers: loading, prompt templates, adapters, and a model cut into layers and head."""
