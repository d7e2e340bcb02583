"""The file a user writes: schema, loader with line numbers, presets, Hugging Face import, what is refused."""
