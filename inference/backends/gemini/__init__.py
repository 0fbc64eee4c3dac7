"""The Gemini API through google-genai."""
