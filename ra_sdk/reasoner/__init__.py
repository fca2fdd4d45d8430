"""The language model: its prompt, its files, and llama.cpp."""
