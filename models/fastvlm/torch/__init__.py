"""FastVLM in torch: CUDA graphs and Triton kernels on a GPU, and the reference on a CPU."""
