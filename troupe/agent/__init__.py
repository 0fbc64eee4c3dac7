"""Agents in Python: what an agent is, and its gRPC server.

An agent in any other language implements `troupe.api.agent.v1.AgentService` itself.
"""

from troupe.agent.executor import StepExecutor
from troupe.agent.servicer import AgentServicer
from troupe.agent.serving import run_agents

__all__ = ["AgentServicer", "StepExecutor", "run_agents"]
