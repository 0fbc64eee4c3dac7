-- The transitions. Each takes its arguments, changes one task whole or not at all, may be repeated without harm,
-- and answers with a list whose first item says what happened.

local operations = {}

function operations.submit(a)
  local request_key = prefix .. ':request:' .. a.project .. ':' .. a.request_id
  local seen = redis.call('HMGET', request_key, 'task', 'body')
  if seen[1] then
    if seen[2] == a.body then return { 'attached', seen[1] } end
    return { 'reused', seen[1] }
  end
  local key = task_key(a.task)
  redis.call('HSET', request_key, 'task', a.task, 'body', a.body)
  redis.call('PEXPIRE', request_key, a.request_ttl)
  local order, children, roots = {}, {}, {}
  for _, step in ipairs(a.steps) do
    table.insert(order, step.id)
    for dependency in each(step.deps) do
      children[dependency] = children[dependency] or {}
      table.insert(children[dependency], step.id)
    end
  end
  for _, step in ipairs(a.steps) do
    local left = 0
    for _ in each(step.deps) do left = left + 1 end
    if left == 0 then table.insert(roots, step.id) end
    local id = step.id
    redis.call('HSET', key, id .. ':st', STEP.PENDING, id .. ':at', 0, id .. ':ag', step.agent, id .. ':sp', step.message,
      id .. ':dp', step.deps, id .. ':ch', table.concat(children[id] or {}, ','), id .. ':dl', left)
  end
  redis.call('HSET', key, 'project', a.project, 'state', TASK.SUBMITTED, 'spec', a.spec, 'plan', a.plan,
    'order', table.concat(order, ','), 'created', now, 'plan_us', a.plan_us, 'open', #order, 'running', 0,
    'deadline', now + a.timeout, 'retention', a.retention, 'max_tokens', a.max_tokens, 'max_cost', a.max_cost,
    'tokens', 0, 'cost', 0)
  redis.call('ZADD', prefix .. ':index:' .. a.project, now, a.task)
  redis.call('ZADD', prefix .. ':due', now + a.timeout, 'd|' .. a.task)
  append(a.task, a.events)
  enqueue(key, a.task, roots)
  return { 'created', a.task }
end

-- Answers with what the attempt needs: time left (ms), budget left, spec, step, project, whether nothing depends on it,
-- then for each dependency its Step message and its output.
function operations.start(a)
  local key = task_key(a.task)
  local f = redis.call('HMGET', key, 'state', a.step .. ':st', a.step .. ':at', a.step .. ':ow')
  local state, step_state, attempt = tonumber(f[1]), tonumber(f[2]), tonumber(f[3])
  local repeated = step_state == STEP.RUNNING and attempt == a.attempt and f[4] == a.owner
  if not repeated then
    if step_state == STEP.RUNNING and attempt == a.attempt then return { 'elsewhere' } end
    if step_state ~= STEP.READY or attempt ~= a.attempt - 1 then return { 'stale' } end
    local budget = redis.call('HMGET', key, 'max_tokens', 'tokens', 'max_cost', 'cost')
    for i = 1, 3, 2 do
      if tonumber(budget[i]) > 0 and tonumber(budget[i + 1]) >= tonumber(budget[i]) then
        fail_task(key, a.task, {}, FAILURE.budget, a.step)
        return { 'stale' }
      end
    end
    redis.call('HSET', key, a.step .. ':st', STEP.RUNNING, a.step .. ':at', a.attempt, a.step .. ':ow', a.owner,
      a.step .. ':ss', now, a.step .. ':pn', 0)
    redis.call('HINCRBY', key, 'running', 1)
    if state == TASK.SUBMITTED then redis.call('HSET', key, 'state', TASK.RUNNING, 'started', now) end
    append(a.task, { a.event })
  end
  redis.call('ZADD', prefix .. ':leases', now + a.lease, lease_member(a.task, a.step, a.attempt))
  local v = redis.call('HMGET', key, 'deadline', 'spec', a.step .. ':sp', 'project', a.step .. ':ch', a.step .. ':dp',
    'max_tokens', 'tokens', 'max_cost', 'cost')
  local tokens_left = tonumber(v[7]) > 0 and v[7] - v[8] or 0
  local cost_left = tonumber(v[9]) > 0 and v[9] - v[10] or 0
  local reply = { 'started', v[1] - now, tokens_left, cost_left, v[2], v[3], v[4], v[5] == '' and 1 or 0 }
  for dependency in each(v[6]) do
    table.insert(reply, redis.call('HGET', key, dependency .. ':sp'))
    table.insert(reply, redis.call('HGET', key .. ':out', dependency) or '')
  end
  return reply
end

-- Appends events of an attempt. `first` counts the events of the attempt before these, so that a repeated report adds
-- only what is new.
function operations.report(a)
  local key = task_key(a.task)
  if not holds(key, a.step, a.attempt) then return { 'lost' } end
  local known = tonumber(redis.call('HGET', key, a.step .. ':pn'))
  local fresh = {}
  for i, event in ipairs(a.events) do
    if a.first + i > known then table.insert(fresh, event) end
  end
  if #fresh == 0 then return { 'recorded' } end
  redis.call('HSET', key, a.step .. ':pn', known + #fresh)
  local tokens, cost = 0, 0
  for i, usage in ipairs(a.usage) do
    if a.first + i > known then
      for j, name in ipairs({ ':ui', ':uo', ':uc', ':um' }) do redis.call('HINCRBY', key, a.step .. name, usage[j]) end
      tokens, cost = tokens + usage[1] + usage[2], cost + usage[3]
    end
  end
  if tokens > 0 then redis.call('HINCRBY', key, 'tokens', tokens) end
  if cost > 0 then redis.call('HINCRBY', key, 'cost', cost) end
  append(a.task, fresh)
  return { 'recorded' }
end

function operations.complete(a)
  local key = task_key(a.task)
  acknowledge(a.stream, a.message)
  if not holds(key, a.step, a.attempt) then return { 'lost' } end
  redis.call('HSET', key .. ':out', a.step, a.output)
  if a.result then redis.call('HSET', key .. ':out', '!' .. a.step, a.result) end
  close_step(key, a.task, a.step, a.attempt, STEP.COMPLETED)
  if redis.call('HINCRBY', key, 'open', -1) == 0 then
    complete_task(key, a.task, { a.event })
  elseif is_cancelling(key) then
    end_cancelling(key, a.task, { a.event })
  else
    append(a.task, { a.event })
    release(key, a.task, a.step)
  end
  return { 'recorded' }
end

-- `delay` in ms lets the step wait for its next attempt; without it the task fails.
function operations.fail(a)
  local key = task_key(a.task)
  acknowledge(a.stream, a.message)
  if not holds(key, a.step, a.attempt) then return { 'lost' } end
  close_step(key, a.task, a.step, a.attempt, STEP.FAILED)
  redis.call('HSET', key, a.step .. ':er', a.error)
  if is_cancelling(key) then
    end_cancelling(key, a.task, { a.event })
  elseif a.delay then
    redis.call('HSET', key, a.step .. ':st', STEP.RETRYING)
    redis.call('ZADD', prefix .. ':due', now + a.delay, 'r|' .. lease_member(a.task, a.step, a.attempt))
    append(a.task, { a.event })
  else
    fail_task(key, a.task, { a.event }, a.error, a.step)
  end
  return { 'recorded' }
end

-- Hands a step back untouched: the worker stops before it is done.
function operations.hand_back(a)
  local key = task_key(a.task)
  acknowledge(a.stream, a.message)
  if not holds(key, a.step, a.attempt) then return { 'lost' } end
  if is_cancelling(key) then
    close_step(key, a.task, a.step, a.attempt, STEP.CANCELLED)
    end_cancelling(key, a.task, {})
  else
    close_step(key, a.task, a.step, a.attempt, STEP.PENDING)
    enqueue(key, a.task, { a.step })
  end
  return { 'recorded' }
end

function operations.renew(a)
  if not holds(task_key(a.task), a.step, a.attempt) then return { 'lost' } end
  redis.call('ZADD', prefix .. ':leases', 'XX', now + a.lease, lease_member(a.task, a.step, a.attempt))
  return { 'renewed' }
end

function operations.acknowledge(a)
  acknowledge(a.stream, a.message)
  return { 'acknowledged' }
end

function operations.cancel(a)
  local key = task_key(a.task)
  local state = tonumber(redis.call('HGET', key, 'state'))
  if not state then return { 'missing' } end
  if state == TASK.CANCELLED then return { 'cancelled' } end
  if state > TASK.CANCELLING then return { 'ended' } end
  if state ~= TASK.CANCELLING then redis.call('HSET', key, 'reason', a.reason) end
  if not a.after_step or tonumber(redis.call('HGET', key, 'running')) == 0 then
    cancel_task(key, a.task, {})
    return { 'cancelled' }
  end
  redis.call('HSET', key, 'state', TASK.CANCELLING)
  for step in each(redis.call('HGET', key, 'order')) do
    local current = tonumber(redis.call('HGET', key, step .. ':st'))
    if current < STEP.COMPLETED and current ~= STEP.RUNNING then
      redis.call('HSET', key, step .. ':st', STEP.SKIPPED, step .. ':se', now)
    end
  end
  return { 'cancelling' }
end

-- A piece of the history behind a cursor: some events, up to about a number of bytes.
function operations.read(a)
  local key = task_key(a.task)
  local state = redis.call('HGET', key, 'state')
  if not state then return { 'missing' } end
  local length = redis.call('LLEN', key .. ':log')
  local reply, place, bytes = { 'read', tonumber(state), length }, a.after, 0
  while place < length and bytes < a.bytes and #reply < a.events do
    for _, frame in ipairs(redis.call('LRANGE', key .. ':log', place, place + 15)) do
      table.insert(reply, frame)
      place, bytes = place + 1, bytes + #frame
    end
  end
  return reply
end

function operations.metrics(a)
  local key = task_key(a.task)
  if redis.call('EXISTS', key) == 0 then return { 'missing' } end
  return { 'found', metrics_message(key, a.task) }
end

-- Takes over steps whose lease has run out, starts retries that are due and ends tasks past their deadline. Answers
-- with the counts of each.
function operations.tick(a)
  local taken, retried, ended = 0, 0, 0
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', prefix .. ':leases', '-inf', now, 'LIMIT', 0, a.limit)) do
    local id, step, attempt = string.match(member, '^(.-)|(.-)|(%d+)$')
    local key = task_key(id)
    redis.call('ZREM', prefix .. ':leases', member)
    if holds(key, step, tonumber(attempt)) then
      taken = taken + 1
      close_step(key, id, step, attempt, STEP.PENDING)
      if redis.call('HINCRBY', key, step .. ':ll', 1) >= a.max_lost_leases then
        redis.call('HSET', key, step .. ':st', STEP.FAILED, step .. ':er', FAILURE.lease)
        fail_task(key, id, {}, FAILURE.lease, step)
      elseif is_cancelling(key) then
        redis.call('HSET', key, step .. ':st', STEP.CANCELLED)
        end_cancelling(key, id, {})
      else
        enqueue(key, id, { step })
      end
    end
  end
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', prefix .. ':due', '-inf', now, 'LIMIT', 0, a.limit)) do
    redis.call('ZREM', prefix .. ':due', member)
    if string.sub(member, 1, 2) == 'd|' then
      local id = string.sub(member, 3)
      if (tonumber(redis.call('HGET', task_key(id), 'state')) or TASK.FAILED) <= TASK.CANCELLING then
        fail_task(task_key(id), id, {}, FAILURE.deadline, '')
        ended = ended + 1
      end
    else
      local id, step, attempt = string.match(member, '^r|(.-)|(.-)|(%d+)$')
      local f = redis.call('HMGET', task_key(id), step .. ':st', step .. ':at')
      if tonumber(f[1]) == STEP.RETRYING and f[2] == attempt then
        enqueue(task_key(id), id, { step })
        retried = retried + 1
      end
    end
  end
  return { 'ticked', taken, retried, ended }
end
