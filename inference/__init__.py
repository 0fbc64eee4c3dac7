"""Models: one contract over Triton and Gemini."""
