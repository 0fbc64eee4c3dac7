-- The transitions. Each takes its arguments, changes one task whole or not at all, may be repeated without harm,
-- and answers with a list whose first item says what happened. `tests/model/machine.py` is their model.

local operations = {}

-- Puts new steps into a task, which wait for what they depend on. `done(step)` says whether a dependency has completed.
-- Returns the steps that wait for nothing.
local function put_steps(task, steps, parent, depth, done)
  local children, free = {}, {}
  for _, step in ipairs(steps) do
    for dependency in each(step.base[X.depends_on]) do
      children[dependency] = children[dependency] or {}
      table.insert(children[dependency], step.id)
    end
  end
  for _, step in ipairs(steps) do
    local left, id = 0, step.id
    for dependency in each(step.base[X.depends_on]) do
      if not done(dependency) then left = left + 1 end
    end
    if left == 0 then table.insert(free, id) end
    local base = step.base
    base[X.dependants], base[X.parent], base[X.depth] = table.concat(children[id] or {}, ','), parent, depth
    task.bases[id] = base
    task.steps[id] = S{ state = STEP.PENDING, left = left }
    task.dirty[id] = true
    set(task, id .. ':base', cmsgpack.pack(task.bases[id]))
    children[id] = nil
  end
  for dependency, more in pairs(children) do -- of steps that were there before
    local base = base_of(task, dependency)
    base[X.dependants] = base[X.dependants] .. ',' .. table.concat(more, ',')
    set(task, dependency .. ':base', cmsgpack.pack(base))
  end
  return free
end

function operations.submit(a)
  local project = a.base[B.project]
  local request_key = KEY.request(project, a.request_id)
  local seen = redis.call('GET', request_key)
  if seen then
    local id, body = string.match(seen, '^(%S+) (.*)$')
    return { body == a.body and 'attached' or 'reused', id }
  end
  local task, order = open_task(a.task), {}
  for i, step in ipairs(a.steps) do order[i] = step.id end
  task.b = a.base
  task.b[B.created] = now
  local deadline = due_now + task.b[B.timeout]
  task.t = T{ state = TASK.SUBMITTED, open = #order, deadline = deadline }
  set(task, 'base', cmsgpack.pack(task.b))
  set(task, 'spec', a.spec)
  set(task, 'plan', a.plan)
  set(task, 'order', table.concat(order, ','))
  local roots = put_steps(task, a.steps, '', 0, function() return false end)
  index_task(task)
  redis.call('ZADD', KEY.due, deadline, 'd|' .. a.task)
  redis.call('HINCRBY', KEY.open, project, 1)
  task.events = a.events
  make_ready(task, roots, a)
  save(task)
  redis.call('SET', request_key, a.task .. ' ' .. a.body, 'PX', a.request_ttl)
  return { 'created', a.task }
end

-- Begins the steps of messages that the group delivered to a worker.
function operations.start(a)
  a.begun = {}
  for _, message in ipairs(a.messages) do
    settle(a.agent, message[1])
    begin_message(a.agent, message[2], message[3], a)
  end
  refill(a.agent)
  return RECORDED{ status = 'started', more = is_idle(a.agent) and 0 or 1, begun = a.begun }
end

-- Begins what waits for an agent.
function operations.take(a)
  a.begun = {}
  refill(a.agent)
  take(a.agent, a)
  return RECORDED{ status = 'taken', more = is_idle(a.agent) and 0 or 1, begun = a.begun }
end

-- Appends events of an attempt. `first` counts the events of the attempt before these, so that a repeated report adds
-- only what is new. A task that is over its budget ends.
function operations.report(a)
  local task = open_task(a.task)
  if not holds(task, a.step, a.attempt) then return { 'lost' } end
  local s, tokens, cost = edit(task, a.step), 0, 0
  for i, event in ipairs(a.events) do
    if a.first + i > s[S.events] then
      table.insert(task.events, event)
      local usage = a.usage[i]
      for j = 1, 4 do s[S.input_tokens + j - 1] = s[S.input_tokens + j - 1] + usage[j] end
      tokens, cost = tokens + usage[1] + usage[2], cost + usage[3]
    end
  end
  s[S.events] = s[S.events] + #task.events
  if tokens + cost > 0 and use_budget(task, a.step, tokens, cost) then fail_task(task, FAILURE.budget, a.step) end
  save(task)
  return { 'recorded' }
end

-- Records the output of a step and lets go what waited for it.
function operations.complete(a)
  local task, ready = open_task(a.task), {}
  if not holds(task, a.step, a.attempt) then return { 'lost' } end
  a.begun = {}
  set(task, a.step .. ':out', a.output)
  local t, took = task.t, now - step_of(task, a.step)[S.started]
  close_attempt(task, a.step, a.attempt, STEP.COMPLETED, ready)
  note(task, EVENT.step_completed,
    field_bytes(1, a.step) .. field_int(2, a.attempt) .. field_bytes(3, a.output) .. duration_ms(4, took))
  t[T.open] = t[T.open] - 1
  if t[T.open] == 0 then
    complete_task(task)
  elseif is_cancelling(task) then
    end_cancelling(task)
  else
    release(task, a.step, ready)
    make_ready(task, ready, a)
  end
  return finish(task, a)
end

-- Records a failed attempt. `delay` in ms lets the step wait for its next attempt; without it the task fails.
function operations.fail(a)
  local task, ready = open_task(a.task), {}
  if not holds(task, a.step, a.attempt) then return { 'lost' } end
  a.begun = {}
  local retries = a.delay and not is_cancelling(task)
  close_attempt(task, a.step, a.attempt, retries and STEP.RETRYING or STEP.FAILED, ready)
  local s = edit(task, a.step)
  s[S.failures] = s[S.failures] + 1
  set(task, a.step .. ':error', a.error)
  local body = field_bytes(1, a.step) .. field_int(2, a.attempt) .. field_bytes(3, a.error)
  if retries then body = body .. field_int(4, 1) .. duration_ms(5, a.delay) end
  note(task, EVENT.step_failed, body)
  if is_cancelling(task) then
    end_cancelling(task)
  elseif retries then
    redis.call('ZADD', KEY.due, due_now + a.delay, 'r|' .. lease_member(a.task, a.step, a.attempt))
    make_ready(task, ready, a)
  else
    fail_task(task, a.error, a.step)
  end
  return finish(task, a)
end

-- Why an attempt may not add steps; nil when it may.
local function refusal(task, a, depth, count)
  if depth > a.max_depth then return REFUSED{ status = 'refused', bound = 'depth', value = depth } end
  if count > a.max_steps then return REFUSED{ status = 'refused', bound = 'steps', value = count } end
  for _, step in ipairs(a.steps) do
    if step_of(task, step.id) then return REFUSED{ status = 'refused', bound = 'id', value = step.id } end
  end
  return nil
end

-- Adds the steps that an attempt delegated; its step waits for them and is then executed again.
function operations.delegate(a)
  local task, ready, ids = open_task(a.task), {}, {}
  if not holds(task, a.step, a.attempt) then return { 'lost' } end
  local depth, order = base_of(task, a.step)[X.depth] + 1, order_of(task)
  local refused = refusal(task, a, depth, #order + #a.steps)
  if refused then return refused end
  a.begun = {}
  for i, step in ipairs(a.steps) do ids[i] = step.id end
  local added = table.concat(ids, ',')
  local free = put_steps(task, a.steps, a.step, depth, function(dependency)
    return step_of(task, dependency) and state_of(task, dependency) == STEP.COMPLETED
  end)
  for i, step in ipairs(order) do
    if step == a.step then order[i] = added .. ',' .. step end
  end
  set(task, 'order', table.concat(order, ','))
  task.t[T.open] = task.t[T.open] + #ids
  close_attempt(task, a.step, a.attempt, STEP.DELEGATING, ready)
  local s = edit(task, a.step)
  s[S.left], s[S.delegated] = #ids, s[S.delegated] == '' and added or s[S.delegated] .. ',' .. added
  note(task, EVENT.steps_added, a.added)
  if is_cancelling(task) then
    end_cancelling(task)
  else
    for _, step in ipairs(free) do table.insert(ready, step) end
    make_ready(task, ready, a)
  end
  return finish(task, a)
end

-- Makes a step ready again whose attempt ended without a word of its agent.
local function put_back(task, step, attempt, a)
  local ready = {}
  close_attempt(task, step, attempt, is_cancelling(task) and STEP.CANCELLED or STEP.PENDING, ready)
  if is_cancelling(task) then
    end_cancelling(task)
  else
    table.insert(ready, step)
    make_ready(task, ready, a)
  end
end

-- Hands a step back untouched: the worker stops before it is done.
function operations.hand_back(a)
  local task = open_task(a.task)
  if not holds(task, a.step, a.attempt) then return { 'lost' } end
  put_back(task, a.step, a.attempt, a)
  return finish(task, a)
end

-- Renews leases of a worker. Answers with the places of those that it has lost.
function operations.renew(a)
  local reply = { 'renewed' }
  for i, lease in ipairs(a.leases) do
    local id, step, attempt = unpack(lease)
    if holds(open_task(id), step, attempt) then
      redis.call('ZADD', KEY.leases, 'XX', due_now + a.lease, lease_member(id, step, attempt))
    else
      table.insert(reply, i - 1)
    end
  end
  return reply
end

function operations.cancel(a)
  local task = open_task(a.task)
  if not read(task) then return { 'missing' } end
  local state = task.t[T.state]
  if state == TASK.CANCELLED then return { 'cancelled' } end
  if state > TASK.CANCELLING then return { 'ended' } end
  if state ~= TASK.CANCELLING then set(task, 'reason', a.reason) end
  if not a.after_step or task.t[T.running] == 0 then
    cancel_task(task)
  else
    task.t[T.state] = TASK.CANCELLING
    local order = order_of(task)
    read(task, order)
    for _, step in ipairs(order) do
      local current = state_of(task, step)
      if current < STEP.COMPLETED and current ~= STEP.RUNNING then skip_step(task, step) end
    end
  end
  save(task)
  return { task.ended and 'cancelled' or 'cancelling' }
end

-- A person's decision about a step that waits for it.
function operations.resolve(a)
  local task = open_task(a.task)
  if not read(task, { a.step }) then return { 'missing' } end
  local s = step_of(task, a.step)
  if not s then return { 'no_step' } end
  if s[S.state] ~= STEP.AWAITING_APPROVAL then
    return { s[S.decision] == a.decision and 'resolved' or 'not_waiting', s[S.state] }
  end
  edit(task, a.step)[S.decision] = a.decision
  note(task, EVENT.approval_resolved, a.resolved)
  if a.rejected then
    set_state(task, a.step, STEP.FAILED)
    set(task, a.step .. ':error', FAILURE.rejected)
    fail_task(task, FAILURE.rejected, a.step)
  else
    make_ready(task, { a.step }, a)
  end
  save(task)
  return { 'resolved' }
end

-- How many of some steps have not completed.
local function incomplete(task, steps)
  local count = 0
  for step in each(steps) do
    if state_of(task, step) ~= STEP.COMPLETED then count = count + 1 end
  end
  return count
end

-- Opens an ended task again.
local function reopen(task, request_id)
  local t, project, deadline = task.t, task.b[B.project], due_now + task.b[B.timeout]
  redis.call('PERSIST', task.key)
  redis.call('PERSIST', KEY.log(task.id))
  redis.call('ZREM', KEY.expiring, unpack(index_members(task)))
  redis.call('ZREM', KEY.webhooks, task.id)
  redis.call('ZADD', KEY.due, deadline, 'd|' .. task.id)
  redis.call('HINCRBY', KEY.open, project, 1)
  t[T.state], t[T.ended], t[T.deadline], t[T.ready], t[T.notified] = TASK.RUNNING, 0, deadline, 0, 0
  set(task, 'retried_by', request_id)
  drop(task, 'error', 'result', 'parked')
end

-- Takes up a failed task: what completed is kept, everything else is done again.
function operations.retry(a)
  local task, ready, again = open_task(a.task), {}, ''
  if not read(task) then return { 'missing' } end
  if a.request_id ~= '' and get(task, 'retried_by') == a.request_id then return { 'retried' } end
  if task.t[T.state] ~= TASK.FAILED then return { 'not_failed' } end
  reopen(task, a.request_id)
  local order = order_of(task)
  read(task, order)
  for _, step in ipairs(order) do
    if state_of(task, step) ~= STEP.COMPLETED then
      again = again .. field_bytes(1, step)
      local s = edit(task, step)
      local delegated = incomplete(task, s[S.delegated])
      s[S.state] = delegated > 0 and STEP.DELEGATING or STEP.PENDING
      s[S.left] = delegated + incomplete(task, base_of(task, step)[X.depends_on])
      s[S.ended], s[S.failures], s[S.lost], s[S.held_tokens], s[S.held_cost] = 0, 0, 0, 0, 0
      if s[S.decision] == a.reject then s[S.decision] = '' end
      drop(task, step .. ':error')
      if s[S.left] == 0 then table.insert(ready, step) end
    end
  end
  note(task, EVENT.task_retried, again)
  make_ready(task, ready, a)
  save(task)
  return { 'retried' }
end

function operations.metrics(a)
  local task = open_task(a.task)
  if not read(task) then return { 'missing' } end
  local order = order_of(task)
  read(task, order)
  return { 'found', metrics_message(task, order, task.t[T.sequence]) }
end

-- The name of the notification about how a task ended; a task that ends again, after a retry, gets another.
local function notification_id(task) return task.id .. '-' .. task.t[T.sequence] end

-- Notifications that are due, each held for the caller for a while.
function operations.claim_webhooks(a)
  local reply = { 'claimed' }
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEY.webhooks, '-inf', due_now, 'LIMIT', 0, a.limit)) do
    local task = open_task(id)
    if read(task) then
      redis.call('ZADD', KEY.webhooks, due_now + a.hold, id)
      task.t[T.notified] = task.t[T.notified] + 1
      save(task)
      table.insert(reply, NOTIFICATION{
        task = id,
        url = task.b[B.webhook],
        attempt = task.t[T.notified],
        name = notification_id(task),
      })
    else
      redis.call('ZREM', KEY.webhooks, id)
    end
  end
  return reply
end

-- A notification was taken or is given up; with a `delay` in ms it is due again, after `attempt` attempts.
function operations.settle_webhook(a)
  local task = open_task(a.task)
  if not read(task) or notification_id(task) ~= a.id then return { 'settled' } end
  task.t[T.notified] = a.attempt or 0
  if a.delay then
    redis.call('ZADD', KEY.webhooks, 'XX', due_now + a.delay, a.task)
  else
    redis.call('ZREM', KEY.webhooks, a.task)
  end
  save(task)
  return { 'settled' }
end
