"""FastVLM: checkpoints, and an encoder and a decoder for each runtime.

`ports.py` defines an encoder and a decoder. Any encoder works with any decoder of the same
checkpoint. The describer that uses them is `models/describer.py`.
"""
