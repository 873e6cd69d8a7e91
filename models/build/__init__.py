"""Makes the forms that `models/runtime/` runs, once, from checkpoints. Needs torch."""
