"""Runs compiled networks on a CPU with OpenVINO, NumPy and OpenCV alone.

Imports neither torch nor ultralytics, timm or transformers: a start on a CPU needs none of them.
The forms that it runs are made once by `models/build/`.
"""
