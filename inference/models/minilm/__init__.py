"""all-MiniLM-L6-v2 under onnxruntime. Imported inside Triton, where this project is not: plain Python and numpy."""
