-- How steps begin, end and let others go.

-- The Step message and the output of each of some steps.
local function outputs_of(task, csv)
  local steps, found = {}, {}
  for step in each(csv) do steps[#steps + 1] = step end
  if #steps == 0 then return found end
  read(task, steps)
  for i, step in ipairs(steps) do
    found[2 * i - 1] = base_of(task, step)[X.message]
    found[2 * i] = get(task, step .. ':out') or ''
  end
  return found
end

-- Begins an attempt of a step that is ready and takes its lease. Answers with what the attempt needs; nil when the
-- step is not ready for this attempt.
local function begin(task, step, attempt, agent, a, price)
  local s = read(task, { step }) and step_of(task, step)
  if not s or s[S.state] ~= STEP.READY or s[S.attempt] ~= attempt - 1 then return nil end
  local tokens, cost = hold_budget(task, step)
  if not tokens then return nil end
  local t, base = task.t, base_of(task, step)
  edit(task, step)
  s[S.state], s[S.attempt], s[S.started], s[S.events] = STEP.RUNNING, attempt, now, 0
  s[S.cost_units] = s[S.cost_units] + price
  t[T.running] = t[T.running] + 1
  if t[T.state] == TASK.SUBMITTED then t[T.state] = TASK.RUNNING end
  if t[T.started] == 0 then t[T.started] = now end
  redis.call('ZADD', KEY.leases, due_now + a.lease, lease_member(task.id, step, attempt))
  note(task, EVENT.step_started, field_bytes(1, step) .. field_bytes(2, agent) .. field_int(3, attempt))
  return BEGUN{
    task = task.id,
    step = step,
    attempt = attempt,
    agent = agent,
    time_left = t[T.deadline] - due_now,
    tokens = tokens,
    cost = cost,
    spec = get(task, 'spec'),
    message = base[X.message],
    project = task.b[B.project],
    failures = s[S.failures],
    waited = math.max(0, now - s[S.ready]),
    trace = task.b[B.trace],
    depth = base[X.depth],
    dependencies = outputs_of(task, base[X.depends_on]),
    delegated = outputs_of(task, s[S.delegated]),
  }
end

-- Whether a worker may begin a released step at once: it has room, and nothing waits for the agent.
local function has_room(a, agent)
  return a.rooms and a.rooms[agent] and a.rooms[agent][1] > 0 and is_idle(agent)
end

local function begin_released(task, step, attempt, agent, a)
  local room = a.rooms[agent]
  local begun = begin(task, step, attempt, agent, a, room[2])
  if not begun then return end
  room[1] = room[1] - 1
  table.insert(a.begun, begun)
end

local function offer_all(task, by_agent, push)
  for agent, entries in pairs(by_agent) do
    for i = 1, #entries, READY_BATCH do
      local batch = table.concat(entries, ',', i, math.min(i + READY_BATCH - 1, #entries))
      offer(agent, task.b[B.project], task.b[B.priority], task.id, batch, push)
    end
  end
end

local function needs_approval(task, step)
  return base_of(task, step)[X.approval] ~= '' and step_of(task, step)[S.decision] == ''
end

-- Counts the steps that share what is left of the budget, before the first of them begins.
local function count_ready(task, steps)
  if not has_budget(task) then return end
  for _, step in ipairs(steps) do
    if not needs_approval(task, step) then task.t[T.ready] = task.t[T.ready] + 1 end
  end
end

-- Steps wait for nothing more: they are begun by the worker that let them go, queued for others, or put before a
-- person.
local function make_ready(task, steps, a)
  read(task, steps)
  count_ready(task, steps)
  local by_agent = {}
  for _, step in ipairs(steps) do
    if task.ended then return end -- its budget is spent
    local s, base = edit(task, step), base_of(task, step)
    local agent, attempt = base[X.agent], s[S.attempt] + 1
    if needs_approval(task, step) then
      s[S.state] = STEP.AWAITING_APPROVAL
      note(task, EVENT.approval_requested, field_bytes(1, step) .. field_bytes(2, base[X.approval]))
    else
      s[S.state], s[S.ready] = STEP.READY, now
      if has_room(a, agent) then
        begin_released(task, step, attempt, agent, a)
      else
        by_agent[agent] = by_agent[agent] or {}
        table.insert(by_agent[agent], step .. '@' .. attempt)
      end
    end
  end
  if not task.ended then offer_all(task, by_agent, 'RPUSH') end
end

-- Whether an attempt still holds its step: the fence that every report of a worker passes.
local function holds(task, step, attempt)
  local s = read(task, { step }) and step_of(task, step)
  return s and s[S.state] == STEP.RUNNING and s[S.attempt] == attempt
end

local function is_cancelling(task) return task.t[T.state] == TASK.CANCELLING end

-- Ends an attempt; steps that waited for the budget that it held are put into `ready`.
local function close_attempt(task, step, attempt, state, ready)
  redis.call('ZREM', KEY.leases, lease_member(task.id, step, attempt))
  set_state(task, step, state)[S.ended] = now
  task.t[T.running] = task.t[T.running] - 1
  settle_budget(task, step, ready)
end

-- The steps that a completed step lets go are put into `ready`: its dependants, and the step that delegated it.
local function release(task, step, ready)
  local base, others = base_of(task, step), {}
  for child in each(base[X.dependants]) do others[#others + 1] = child end
  if base[X.parent] ~= '' then others[#others + 1] = base[X.parent] end
  read(task, others)
  for _, other in ipairs(others) do
    local s = edit(task, other)
    s[S.left] = s[S.left] - 1
    if s[S.left] == 0 then table.insert(ready, other) end
  end
end

-- Begins steps of a message until the room is used up; what is left of it goes back to the front of its queue.
local function begin_message(agent, id, entries, a)
  local task, left = open_task(id), {}
  for entry in each(entries) do
    local step, attempt = string.match(entry, '^(.*)@(%d+)$')
    if a.room <= 0 then
      table.insert(left, entry)
    else
      local begun = begin(task, step, tonumber(attempt), agent, a, a.price)
      if begun then
        table.insert(a.begun, begun)
        a.room = a.room - 1
      end
    end
  end
  if #left > 0 and read(task) then offer_all(task, { [agent] = left }, 'LPUSH') end
  save(task)
end

-- Begins what waits for an agent, up to `a.room` steps.
local function take(agent, a)
  while a.room > 0 do
    local message, id, entries = receive(agent)
    if not message then break end
    settle(agent, message)
    begin_message(agent, id, entries, a)
    refill(agent)
  end
end

-- Ends an operation: what it did is written, and what it began is handed over.
local function finish(task, a)
  save(task)
  local room = a.rooms and a.rooms[a.agent]
  if a.take and room then
    a.room, a.price = room[1], room[2]
    take(a.agent, a)
  end
  return RECORDED{
    status = 'recorded',
    task_state = task.ended or 0,
    more = a.agent and not is_idle(a.agent) and 1 or 0,
    begun = a.begun or {},
  }
end
