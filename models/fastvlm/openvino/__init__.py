"""FastVLM in OpenVINO, on a CPU."""
