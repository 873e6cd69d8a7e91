"""The tiers of the engine in compiled forms: no training framework is imported here."""
