"""A language model in llama.cpp behind the contract of Triton's vLLM backend; runs in Triton's interpreter."""
