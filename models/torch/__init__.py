"""Runs networks in torch: on a graphics card, for `models.backend=torch`, and as the reference."""
