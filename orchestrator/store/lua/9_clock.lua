-- What time sets off: expired leases, retries, deadlines, and the end of what is kept.

-- Takes over a step whose worker stopped renewing its lease.
local function take_over(member, max_lost)
  local id, step, attempt = string.match(member, '^(.-)|(.-)|(%d+)$')
  local task, number = open_task(id), tonumber(attempt)
  redis.call('ZREM', KEY.leases, member)
  if not holds(task, step, number) then return 0 end
  local s = edit(task, step)
  s[S.lost] = s[S.lost] + 1
  if s[S.lost] >= max_lost and not is_cancelling(task) then
    close_attempt(task, step, number, STEP.FAILED, {})
    set(task, step .. ':error', FAILURE.lease)
    fail_task(task, FAILURE.lease, step)
  else
    put_back(task, step, number, {})
  end
  save(task)
  return 1
end

-- The leases that ran out. After a time in which nobody looked at the clocks (the store stood still or was gone, or every
-- worker), those who live have a pause to renew theirs first; and then no other pause for a while, so that workers which
-- are always late do not put it off for ever.
local function expired_leases(lease, limit)
  local watched, spared, pause = KEY.watched, KEY.spared, math.floor(lease / 2) + 1
  local expired = redis.call('ZRANGEBYSCORE', KEY.leases, '-inf', due_now, 'LIMIT', 0, limit)
  if #expired > 0 and redis.call('EXISTS', watched) == 0 then
    redis.call('SET', spared, due_now + pause, 'PX', 8 * pause, 'NX')
  end
  redis.call('SET', watched, '', 'PX', pause)
  if #expired > 0 and due_now < tonumber(redis.call('GET', spared) or 0) then return {} end
  return expired
end

local function start_retry(member)
  local id, step, attempt = string.match(member, '^r|(.-)|(.-)|(%d+)$')
  local task = open_task(id)
  local s = read(task, { step }) and step_of(task, step)
  if not s or s[S.state] ~= STEP.RETRYING or s[S.attempt] ~= tonumber(attempt) then return 0 end
  make_ready(task, { step }, {})
  save(task)
  return 1
end

local function end_late(id)
  local task = open_task(id)
  if not read(task) or task.t[T.state] > TASK.CANCELLING then return 0 end
  fail_task(task, FAILURE.deadline, '')
  save(task)
  return 1
end

local function forget_expired(limit)
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEY.expiring, '-inf', now, 'LIMIT', 0, limit)) do
    local owner, id = string.match(member, '^(.*) (%S+)$')
    redis.call('ZREM', KEY.index(owner), id)
    redis.call('ZREM', KEY.expiring, member)
  end
end

-- Sends messages again that were delivered to a worker which died before it began their steps.
local function redeliver(agent, idle)
  local stream = KEY.ready(agent)
  local pending = redis.pcall('XPENDING', stream, NAME.group)
  if type(pending) ~= 'table' or pending.err or pending[1] == 0 then return 0 end
  local _, messages = unpack(redis.call('XAUTOCLAIM', stream, NAME.group, NAME.consumer, idle, '0-0', 'COUNT', 100))
  for _, message in ipairs(messages) do
    if message and message[2] then
      settle(agent, message[1])
      send(agent, message[2][2], message[2][4])
    end
  end
  return #messages
end

-- Looks at the clocks of a partition. Answers with what that set off and what is there now.
function operations.tick(a)
  local taken, retried, ended, resent = 0, 0, 0, 0
  look_at_clock()
  for _, member in ipairs(expired_leases(a.lease, a.limit)) do
    taken = taken + take_over(member, a.max_lost_leases)
  end
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEY.due, '-inf', due_now, 'LIMIT', 0, a.limit)) do
    redis.call('ZREM', KEY.due, member)
    if string.sub(member, 1, 2) == 'd|' then
      ended = ended + end_late(string.sub(member, 3))
    else
      retried = retried + start_retry(member)
    end
  end
  forget_expired(a.limit)
  local lags, waits = {}, {}
  -- Of what was delivered before the clock was set back, Redis does not know how long it has been lying.
  local idle = due_now < unsettled and 0 or a.lease
  for _, agent in ipairs(a.agents) do
    resent = resent + redeliver(agent, idle)
    refill(agent)
    table.insert(lags, ready_length(agent))
    table.insert(waits, waiting_count(agent))
  end
  return TICKED{
    status = 'ticked',
    taken_over = taken,
    retried = retried,
    timed_out = ended,
    resent = resent,
    leased = redis.call('ZCARD', KEY.leases),
    delayed = redis.call('ZCARD', KEY.due),
    open = redis.call('HGETALL', KEY.open),
    ready = lags,
    waiting = waits,
  }
end
