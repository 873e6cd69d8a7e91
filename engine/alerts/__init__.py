"""Which obstacle is worth a sound now."""
