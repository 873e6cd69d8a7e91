"""FastVLM in ONNX Runtime."""
