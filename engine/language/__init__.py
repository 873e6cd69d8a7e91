"""Templates and vocabularies of a language folder: wording, phrases, commands."""
