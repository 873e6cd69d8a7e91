"""Exports a checkpoint's encoder and decoder for OpenVINO and ONNX Runtime."""
