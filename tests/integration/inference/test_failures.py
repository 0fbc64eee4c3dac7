"""What callers see when Triton dies, and that it is found again."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import grpc.aio
import pytest

from tests.integration.inference.test_generate import ask, generate
from tests.support.inference import client, inference_server, until_health
from tests.support.processes import running, until
from tests.support.triton import TritonServer, children
from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.inference.v1.inference_service_pb2 import EmbedRequest, ListModelsRequest
from troupe.core.errors import TroupeError


async def _embed_error(address: str) -> TroupeError:
    async with client(address) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Embed(EmbedRequest(texts=["a text"]))
    return TroupeError.from_rpc(caught.value)


async def _embeds(address: str) -> bool:
    async with client(address) as stub:
        try:
            await stub.Embed(EmbedRequest(texts=["a text"]))
        except grpc.aio.AioRpcError:
            return False
    return True


async def test_the_service_starts_without_triton_and_finds_it_again_after_a_kill(
    own_triton: TritonServer, tmp_path: Path
) -> None:
    env = {"TROUPE_INFERENCE__BACKENDS__TRITON__URL": own_triton.address}
    with inference_server(env, log=tmp_path / "inference.log") as address:
        await until_health(address, serving=False)
        started = time.monotonic()
        error = await _embed_error(address)
        assert time.monotonic() - started < 2
        assert error.reason == ErrorReason.ERROR_REASON_MODEL_UNAVAILABLE
        assert error.retryable
        assert own_triton.address in error.message
        assert "inference.backends.triton.url" in error.message
        async with client(address) as stub:
            models = (await stub.ListModels(ListModelsRequest())).models
        assert not any(model.ready for model in models)

        with running(own_triton.launch(), log=own_triton.log) as server:
            await until_health(address, serving=True)
            server.kill()
            server.wait()
            await until_health(address, serving=False)
            assert (await _embed_error(address)).reason == ErrorReason.ERROR_REASON_MODEL_UNAVAILABLE

        with running(own_triton.launch(), log=own_triton.log):
            await until_health(address, serving=True)
            assert await _embeds(address)


async def test_killed_stubs_of_the_models_are_replaced(own_triton: TritonServer, tmp_path: Path) -> None:
    env = {"TROUPE_INFERENCE__BACKENDS__TRITON__URL": own_triton.address}
    with (
        running(own_triton.launch(), log=own_triton.log) as server,
        inference_server(env, log=tmp_path / "inference.log") as address,
    ):
        await until_health(address, serving=True)
        stubs = children(server)
        assert len(stubs) >= 2
        for stub in stubs:
            os.kill(stub, signal.SIGKILL)
        seen: set[grpc.StatusCode] = set()
        async with client(address) as inference:

            async def generates() -> bool:
                try:
                    deltas, _ = await generate(inference, ask("What happens when a worker dies?"))
                except grpc.aio.AioRpcError as error:
                    seen.add(error.code())
                    return False
                return bool(deltas)

            await until(lambda: _embeds(address), timeout_seconds=30)
            await until(generates, timeout_seconds=30)
        assert seen <= {grpc.StatusCode.UNAVAILABLE}


async def test_a_taken_port_and_bad_settings_are_explained(inference_address: str) -> None:
    for variables, told in (
        ({"TROUPE_INFERENCE__SERVER__LISTEN": inference_address}, f"cannot listen on {inference_address!r}"),
        ({"TROUPE_INFERENCE__DEFAULT_GENERATOR": "other"}, "setting `inference.default_generator` = 'other'"),
        ({"TROUPE_INFERENCE__SERVER__LISTEN": "nowhere"}, "TROUPE_INFERENCE__SERVER__LISTEN"),
    ):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "troupe.inference",
            env={**os.environ, **variables},
            stderr=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
        )
        _, errors = await process.communicate()
        assert process.returncode == 2
        assert told in errors.decode()
        assert "Traceback" not in errors.decode()


async def test_cancelling_the_call_stops_the_model(endless_repository: Path, tmp_path: Path) -> None:
    triton = TritonServer(endless_repository, tmp_path)
    env = {
        "TROUPE_INFERENCE__BACKENDS__TRITON__URL": triton.address,
        "TROUPE_INFERENCE__BACKENDS__TRITON__MODELS": '{"endless": {"kind": "generator"}}',
    }
    stopped = tmp_path / "stopped"
    request = ask("")
    request.messages[0].text = str(stopped)
    del request.messages[1]

    async def model_stopped() -> bool:
        return stopped.exists()

    with (
        running(triton.launch(), log=triton.log),
        inference_server(env, log=tmp_path / "inference.log") as address,
    ):
        await until_health(address, serving=True)
        async with client(address) as inference:
            call = inference.Generate(request)
            async for _ in call:
                break
            assert not stopped.exists()
            call.cancel()
            await until(model_stopped)

            stopped.unlink()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                async for _ in inference.Generate(request, timeout=0.5):
                    pass
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            await until(model_stopped)
    triton.clean()
