"""FastVLM in torch: CUDA graphs, Triton kernels, and the reference on a CPU."""
