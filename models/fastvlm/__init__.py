"""FastVLM taken apart: its checkpoints, its encoder and its decoder, each in the form of one runtime.

`ports.py` says what an encoder and a decoder are; any encoder goes with any decoder of the same
checkpoint. The adapter around them is `models/describer.py`.
"""
