-- Steps of a task. A task is one hash; the fields of a step are `<step id>:<two letters>`:
--   st state   at attempt   ag agent   sp Step message   dp depends on   ch dependants   dl dependencies left
--   rd ready   ss started   se ended (ms)   er Error message   ow owner of the attempt   pn events of the attempt
--   ll leases lost   ui uo uc um usage: input and output tokens, cost, model calls

local READY_BATCH = 16

local function each(csv) return string.gmatch(csv or '', '[^,]+') end

local function lease_member(id, step, attempt) return id .. '|' .. step .. '|' .. attempt end

-- Puts steps into the ready streams of their agents, steps of one agent together.
local function enqueue(key, id, steps)
  local by_agent, agents = {}, {}
  for _, step in ipairs(steps) do
    local agent, attempt = unpack(redis.call('HMGET', key, step .. ':ag', step .. ':at'))
    redis.call('HSET', key, step .. ':st', STEP.READY, step .. ':rd', now)
    if not by_agent[agent] then
      by_agent[agent] = {}
      table.insert(agents, agent)
    end
    table.insert(by_agent[agent], step .. '@' .. (attempt + 1))
  end
  for _, agent in ipairs(agents) do
    local entries = by_agent[agent]
    for i = 1, #entries, READY_BATCH do
      local batch = table.concat(entries, ',', i, math.min(i + READY_BATCH - 1, #entries))
      redis.call('XADD', prefix .. ':ready:' .. agent, '*', 't', id, 's', batch)
    end
  end
end

-- The steps that a completed step lets go.
local function release(key, id, step)
  local ready = {}
  for child in each(redis.call('HGET', key, step .. ':ch')) do
    if redis.call('HINCRBY', key, child .. ':dl', -1) == 0 then table.insert(ready, child) end
  end
  enqueue(key, id, ready)
end

-- troupe.api.common.v1.Usage
local function usage_message(number, input, output, cost, calls)
  return field_bytes(number, field_int(1, input) .. field_int(2, output) .. field_int(3, cost) .. field_int(4, calls))
end

-- troupe.api.orchestrator.v1.TaskMetrics
local function metrics_message(key, id)
  local values = redis.call('HMGET', key, 'order', 'created', 'started', 'ended', 'plan_us')
  local created, started, ended = tonumber(values[2]), tonumber(values[3]), tonumber(values[4]) or now
  local sums, steps = { 0, 0, 0, 0 }, {}
  for step in each(values[1]) do
    local f = redis.call('HMGET', key, step .. ':ag', step .. ':at', step .. ':rd', step .. ':ss', step .. ':se',
      step .. ':ui', step .. ':uo', step .. ':uc', step .. ':um')
    local message = field_bytes(1, step) .. field_bytes(2, f[1]) .. field_int(3, tonumber(f[2]))
    if f[4] then
      message = message .. duration_ms(4, f[4] - f[3]) .. duration_ms(5, (tonumber(f[5]) or now) - f[4])
    end
    local usage = {}
    for i = 1, 4 do
      usage[i] = tonumber(f[5 + i]) or 0
      sums[i] = sums[i] + usage[i]
    end
    table.insert(steps, field_bytes(6, message .. usage_message(6, unpack(usage))))
  end
  return field_bytes(1, id) .. field_bytes(2, time_message(tonumber(values[5])))
    .. duration_ms(3, (started or now) - created) .. duration_ms(4, ended - created)
    .. usage_message(5, unpack(sums)) .. table.concat(steps) .. field_int(7, redis.call('LLEN', key .. ':log'))
end

-- Ends a task: closes its steps, frees their leases, appends the events and the terminal one, and lets it expire.
-- `body` holds the terminal event's own fields before its metrics, which have the given field number.
local function end_task(key, id, state, events, event_number, body, metrics_number)
  for step in each(redis.call('HGET', key, 'order')) do
    local current = tonumber(redis.call('HGET', key, step .. ':st'))
    if current == STEP.RUNNING then
      redis.call('ZREM', prefix .. ':leases', lease_member(id, step, redis.call('HGET', key, step .. ':at')))
      redis.call('HSET', key, step .. ':st', STEP.CANCELLED, step .. ':se', now)
    elseif current < STEP.COMPLETED then
      redis.call('HSET', key, step .. ':st', STEP.SKIPPED, step .. ':se', now)
    end
  end
  redis.call('HSET', key, 'state', state, 'ended', now)
  redis.call('ZREM', prefix .. ':due', 'd|' .. id)
  redis.call('XADD', prefix .. ':control', 'MAXLEN', '~', LIVE_LENGTH, '*', 't', id)
  local metrics = field_bytes(metrics_number, metrics_message(key, id))
  table.insert(events, field_bytes(1, id) .. field_bytes(event_number, body .. metrics))
  append(id, events, true)
  local retention = tonumber(redis.call('HGET', key, 'retention'))
  for _, name in ipairs({ key, key .. ':log', key .. ':out' }) do redis.call('PEXPIRE', name, retention) end
end

local function fail_task(key, id, events, failure, step)
  redis.call('HSET', key, 'error', failure)
  end_task(key, id, TASK.FAILED, events, EVENT.task_failed, field_bytes(1, failure) .. field_bytes(2, step), 3)
end

local function cancel_task(key, id, events)
  local reason = redis.call('HGET', key, 'reason') or ''
  end_task(key, id, TASK.CANCELLED, events, EVENT.task_cancelled, field_bytes(1, reason), 2)
end

local function is_cancelling(key) return tonumber(redis.call('HGET', key, 'state')) == TASK.CANCELLING end

-- A step of a task that is being cancelled has ended: the last one ends the task.
local function end_cancelling(key, id, events)
  if tonumber(redis.call('HGET', key, 'running')) == 0 then cancel_task(key, id, events) else append(id, events) end
end

-- The task's result is that of the last step that nothing depends on.
local function complete_task(key, id, events)
  local result = ''
  for step in each(redis.call('HGET', key, 'order')) do
    result = redis.call('HGET', key .. ':out', '!' .. step) or result
  end
  redis.call('HSET', key, 'result', result)
  end_task(key, id, TASK.COMPLETED, events, EVENT.task_completed, field_bytes(1, result), 2)
end

-- Whether an attempt still holds its step: the fence that every report of a worker passes.
local function holds(key, step, attempt)
  local current = redis.call('HMGET', key, step .. ':st', step .. ':at')
  return tonumber(current[1]) == STEP.RUNNING and tonumber(current[2]) == attempt
end

local function close_step(key, id, step, attempt, state)
  redis.call('ZREM', prefix .. ':leases', lease_member(id, step, attempt))
  redis.call('HSET', key, step .. ':st', state, step .. ':se', now)
  redis.call('HINCRBY', key, 'running', -1)
end

local function acknowledge(stream, message)
  if message == '' then return end
  redis.call('XACK', stream, GROUP, message)
  redis.call('XDEL', stream, message)
end
