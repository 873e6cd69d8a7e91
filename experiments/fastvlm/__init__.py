"""How fast FastVLM runs in each runtime, and whether its tokens agree with fp32."""
