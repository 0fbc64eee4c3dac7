"""The inputs and outputs of Triton's vLLM backend; runs in Triton's interpreter."""
