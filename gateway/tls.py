"""Certificates from files, which may change while the gateway runs."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from troupe.core.logs import get_logger
from troupe.core.server import StartupError
from troupe.gateway.downstream.accept import ALPN_PROTOCOLS


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """What a context is made of, in PEM."""

    certificate: Path
    """With the chain behind it."""
    key: Path
    client_ca: Path | None = None
    """Whose certificates clients must show; None asks for none."""

    @classmethod
    def of(cls, certificate: Path | None, key: Path | None, client_ca: Path | None) -> Self | None:
        """The files that the settings name; None where there is no TLS.

        Raises:
            StartupError: only some of them are named.
        """
        if certificate is None or key is None:
            if certificate is key is client_ca:
                return None
            raise StartupError(
                "TLS needs both TROUPE_GATEWAY__TLS_CERTIFICATE and TROUPE_GATEWAY__TLS_KEY; set both or none of "
                "`tls_certificate`, `tls_key` and `tls_client_ca`"
            )
        return cls(certificate, key, client_ca)

    def state(self) -> tuple[object, ...]:
        """Something that is another when a file is."""
        return tuple(map(_state, filter(None, (self.certificate, self.key, self.client_ca))))


class ServerTls:
    """The context that connections are accepted with."""

    def __init__(self, files: TlsFiles) -> None:
        """Reads the files.

        Raises:
            StartupError: they cannot be used.
        """
        self._files = files
        self._state = files.state()
        try:
            self.context = self._newest = _context(files)
        except (OSError, ValueError) as error:
            raise StartupError(f"TLS cannot start: {_explain(error, files)}") from None
        # New certificates come as a context of their own, so that a broken pair is never half in place.
        self.context.sni_callback = self._choose

    def refresh(self) -> None:
        """Takes up files that have changed; what cannot be used is logged once, and the old stays."""
        state = self._files.state()
        if state == self._state:
            return
        self._state = state
        try:
            self._newest = _context(self._files)
        except (OSError, ValueError) as error:
            get_logger().error("tls files not taken up", problem=_explain(error, self._files))
        else:
            get_logger().info("tls files taken up", certificate=str(self._files.certificate))

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._newest


_NO_PASSWORD: Final = ""  # without one OpenSSL asks at the terminal


def _context(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(ALPN_PROTOCOLS)
    context.load_cert_chain(files.certificate, files.key, password=_NO_PASSWORD)
    if files.client_ca is not None:
        context.load_verify_locations(files.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _explain(error: Exception, files: TlsFiles) -> str:
    for path in filter(None, (files.certificate, files.key, files.client_ca)):
        try:
            path.read_bytes()
        except OSError as problem:
            return f"{str(path)!r} cannot be read: {problem.strerror}"
    names = f"{str(files.certificate)!r} and {str(files.key)!r}"
    if files.client_ca is not None:
        names += f", or {str(files.client_ca)!r},"
    return f"{names} are no certificate and its unencrypted key in PEM: {error}"
