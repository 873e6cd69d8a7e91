"""The latency budgets: milliseconds from the wearer's request to the first sound of the answer.

Source of QUICK_MS and FULL_MS: the first design of this project, which estimated both for a laptop
with an RTX 2060. READ_MS is our own target for two CPU cores.
"""

QUICK_MS = 420.0  # an answer from templates
FULL_MS = 752.0  # an answer from the describer
ANSWER_MS = {"quick": QUICK_MS, "full": FULL_MS}  # by tier
READ_MS = 400.0  # reading the text in a frame
