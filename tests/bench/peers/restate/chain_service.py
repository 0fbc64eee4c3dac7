"""A durable handler of three `ctx.run` steps, served over HTTP/2."""

import restate

chain = restate.Service("Chain")


def step_1(value: str) -> str:
    return value + "1"


def step_2(value: str) -> str:
    return value + "2"


def step_3(value: str) -> str:
    return value + "3"


@chain.handler()
async def run(ctx: restate.Context, value: str) -> str:
    value = await ctx.run_typed("step_1", step_1, value=value)
    value = await ctx.run_typed("step_2", step_2, value=value)
    return await ctx.run_typed("step_3", step_3, value=value)


app = restate.app([chain])
