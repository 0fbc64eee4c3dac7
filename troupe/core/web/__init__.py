"""The one HTTP client for URLs that callers name, guarded against server-side request forgery.

`addresses` and `urls` say what may be called, `client` calls it.
"""
