"""The server of somebody's own agents."""

from functools import partial
from typing import Final

from troupe.agent.executor import StepExecutor
from troupe.agent.servicer import AgentServicer
from troupe.api.agent.v1 import agent_service_pb2 as pb
from troupe.core.server import Drain, ServerSettings, run, serving

_SERVICE: Final = pb.DESCRIPTOR.services_by_name["AgentService"].full_name


def run_agents(executor: StepExecutor, *, listen: str, name: str = "agents") -> None:
    """Serves agents until SIGTERM or SIGINT, with health and reflection; the process ends with 2 if it cannot start.

    `listen` is `host:port`. `troupe up --agent HOST:PORT` and the setting `agents` of orchestrator and worker tell a
    deployment of them. `name` stands in the process's log.
    """
    run(name, partial(_serve, executor, ServerSettings(listen=listen)))


async def _serve(executor: StepExecutor, settings: ServerSettings, drain: Drain) -> None:
    servicer = AgentServicer(executor, drain=drain)
    async with serving(settings, drain=drain, services={_SERVICE: servicer.add_to}, dependencies={}):
        await drain.wait()
