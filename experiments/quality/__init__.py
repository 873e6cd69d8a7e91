"""Quality of answers (grounding, prompts) and of hearing (wake words, commands); the HRTF table."""
