"""Wake word and commands out of sound."""
