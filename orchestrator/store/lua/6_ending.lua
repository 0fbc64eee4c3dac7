-- How tasks end, and what they took.

local function lease_member(id, step, attempt) return id .. '|' .. step .. '|' .. attempt end

-- troupe.api.common.v1.Usage
local function usage_message(field, input, output, cost, calls)
  return field_bytes(field, field_int(1, input) .. field_int(2, output) .. field_int(3, cost) .. field_int(4, calls))
end

local USED = { S.input_tokens, S.output_tokens, S.cost, S.model_calls, S.cost_units }

-- troupe.api.orchestrator.v1.StepMetrics; adds what the step used to `sums`.
local function step_metrics(task, step, sums)
  local s = step_of(task, step)
  local message = field_bytes(1, step) .. field_bytes(2, base_of(task, step)[X.agent]) .. field_int(3, s[S.attempt])
  if s[S.started] > 0 then
    local ended = s[S.ended] > 0 and s[S.ended] or now
    message = message .. duration_ms(4, s[S.started] - s[S.ready]) .. duration_ms(5, ended - s[S.started])
  end
  for i, place in ipairs(USED) do sums[i] = sums[i] + s[place] end
  return message .. usage_message(6, s[USED[1]], s[USED[2]], s[USED[3]], s[USED[4]]) .. field_int(7, s[USED[5]])
end

-- troupe.api.orchestrator.v1.TaskMetrics
local function metrics_message(task, order, events)
  local created, started, ended = task.b[B.created], task.t[T.started], task.t[T.ended]
  local sums, steps = { 0, 0, 0, 0, 0 }, {}
  for i, step in ipairs(order) do steps[i] = field_bytes(6, step_metrics(task, step, sums)) end
  return field_bytes(1, task.id) .. field_bytes(2, time_message(task.b[B.plan_us]))
    .. duration_ms(3, (started > 0 and started or now) - created)
    .. duration_ms(4, (ended > 0 and ended or now) - created)
    .. usage_message(5, unpack(sums, 1, 4)) .. table.concat(steps) .. field_int(7, events) .. field_int(8, sums[5])
end

-- The members of `expiring`: `<owner> <id>` for each index that lists a task. Its project owns one, its conversation
-- another.
local function index_members(task)
  local project, conversation = task.b[B.project], task.b[B.conversation]
  local members = { project .. ' ' .. task.id }
  if conversation ~= '' then members[2] = project .. '/' .. conversation .. ' ' .. task.id end
  return members
end

-- Lists a task.
local function index_task(task)
  for _, member in ipairs(index_members(task)) do
    local owner = string.sub(member, 1, -2 - #task.id)
    redis.call('ZADD', KEY.index(owner), task.b[B.created], task.id)
  end
end

-- Skips a step that has not started; its next attempt is no longer waited for.
local function skip_step(task, step)
  local s = step_of(task, step)
  if s[S.state] == STEP.RETRYING then
    redis.call('ZREM', KEY.due, 'r|' .. lease_member(task.id, step, s[S.attempt]))
  end
  set_state(task, step, STEP.SKIPPED)
end

-- Ends the steps of a task that have not ended.
local function close_steps(task, order)
  for _, step in ipairs(order) do
    local current = state_of(task, step)
    if current == STEP.RUNNING then
      redis.call('ZREM', KEY.leases, lease_member(task.id, step, step_of(task, step)[S.attempt]))
      set_state(task, step, STEP.CANCELLED)
    elseif current < STEP.COMPLETED then
      skip_step(task, step)
    end
  end
end

-- The output of the last step in order that has one; `final` leaves out those that others depend on.
local function last_output(task, order, final)
  for i = #order, 1, -1 do
    local step = order[i]
    local base = base_of(task, step)
    if state_of(task, step) == STEP.COMPLETED and (not final or base[X.dependants] == '' and base[X.parent] == '') then
      set(task, 'result', step)
      return task_output(get(task, step .. ':out'))
    end
  end
  return nil
end

-- `body` holds the terminal event's own fields before its metrics, which have the given number.
local function end_task(task, order, state, event, body, metrics_field)
  close_steps(task, order)
  local t, project = task.t, task.b[B.project]
  redis.call('ZREM', KEY.due, 'd|' .. task.id)
  redis.call('HINCRBY', KEY.open, project, -1)
  for _, member in ipairs(index_members(task)) do
    redis.call('ZADD', KEY.expiring, now + task.b[B.retention], member)
  end
  if t[T.running] > 0 then
    redis.call('XADD', KEY.control, 'MAXLEN', '~', LIVE_LENGTH, '*', 't', task.id)
  end
  if task.b[B.webhook] ~= '' then redis.call('ZADD', KEY.webhooks, due_now, task.id) end
  t[T.state], t[T.ended], t[T.running], t[T.held_tokens], t[T.held_cost] = state, now, 0, 0, 0
  local metrics = metrics_message(task, order, t[T.sequence] + #task.events + 1)
  note(task, event, body .. field_bytes(metrics_field, metrics))
  task.ended = state
end

local function fail_task(task, failure, step)
  local order = order_of(task)
  read(task, order)
  local partial = last_output(task, order, false)
  set(task, 'error', failure)
  local body = field_bytes(1, failure) .. field_bytes(2, step)
  if partial then body = body .. field_bytes(4, partial) end
  end_task(task, order, TASK.FAILED, EVENT.task_failed, body, 3)
end

local function cancel_task(task)
  local order = order_of(task)
  read(task, order)
  end_task(task, order, TASK.CANCELLED, EVENT.task_cancelled, field_bytes(1, get(task, 'reason') or ''), 2)
end

local function complete_task(task)
  local order = order_of(task)
  read(task, order)
  local result = last_output(task, order, true) or ''
  end_task(task, order, TASK.COMPLETED, EVENT.task_completed, field_bytes(1, result), 2)
end

-- A step of a task that is being cancelled has ended: the last one ends the task.
local function end_cancelling(task)
  if task.t[T.running] == 0 then cancel_task(task) end
end
