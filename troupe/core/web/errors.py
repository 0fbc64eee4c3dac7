"""Why a foreign URL was not fetched. Messages name the host only: paths and queries may hold secrets."""


class WebError(Exception):
    """The call brought no response."""


class RefusedUrlError(WebError):
    """The rules do not let this URL be called; the same call is refused again."""


class ForbiddenAddressError(RefusedUrlError):
    """The host is, or its name leads to, an address that is not publicly routable."""


class UnreachableError(WebError):
    """The host cannot be found or reached, or it does not speak HTTP."""


class WebTimeoutError(WebError):
    """The response did not arrive in time."""
