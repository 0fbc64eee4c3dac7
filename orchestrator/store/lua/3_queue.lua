-- Which steps workers get next. The ready stream of an agent holds a window of messages; what is more waits in one
-- list for each project and priority. Projects take turns, and within a project the higher priority goes first, so
-- that neither a project's load nor its priorities hold up another project.

local READY_WINDOW = 16
local READY_BATCH = 16
local PRIORITIES = { 3, 2, 1 }

-- As of this call, by agent.
local lengths, waiting = {}, {}

local function ready_length(agent)
  if not lengths[agent] then lengths[agent] = redis.call('XLEN', KEY.ready(agent)) end
  return lengths[agent]
end

local function waiting_count(agent)
  if not waiting[agent] then waiting[agent] = tonumber(redis.call('HGET', KEY.waiting, agent)) or 0 end
  return waiting[agent]
end

local function is_idle(agent) return waiting_count(agent) == 0 and ready_length(agent) == 0 end

local function send(agent, id, entries)
  lengths[agent] = ready_length(agent) + 1
  redis.call('XADD', KEY.ready(agent), '*', 't', id, 's', entries)
end

local function offer(agent, project, priority, id, entries, push)
  if waiting_count(agent) == 0 and ready_length(agent) < READY_WINDOW then
    send(agent, id, entries)
    return
  end
  redis.call(push, KEY.queue(agent, project, priority), id .. ' ' .. entries)
  waiting[agent] = redis.call('HINCRBY', KEY.waiting, agent, 1)
  local turns = KEY.turns(agent)
  if not redis.call('ZSCORE', turns, project) then
    redis.call('ZADD', turns, redis.call('ZRANGE', turns, 0, 0, 'WITHSCORES')[2] or 0, project)
  end
end

-- The next message of the project whose turn it is.
local function pop(agent)
  local turns = KEY.turns(agent)
  local project = redis.call('ZRANGE', turns, 0, 0)[1]
  if not project then return nil end
  local keys = {}
  for i, priority in ipairs(PRIORITIES) do keys[i] = KEY.queue(agent, project, priority) end
  local item
  for _, key in ipairs(keys) do
    item = redis.call('LPOP', key)
    if item then break end
  end
  if redis.call('EXISTS', unpack(keys)) == 0 then
    redis.call('ZREM', turns, project)
  else
    redis.call('ZINCRBY', turns, 1, project)
  end
  return item
end

local function refill(agent)
  while waiting_count(agent) > 0 and ready_length(agent) < READY_WINDOW do
    local item = pop(agent)
    if not item then
      waiting[agent] = 0
      redis.call('HDEL', KEY.waiting, agent)
      return
    end
    waiting[agent] = redis.call('HINCRBY', KEY.waiting, agent, -1)
    local id, entries = string.match(item, '^(%S+) (.*)$')
    send(agent, id, entries)
  end
end

local function settle(agent, message)
  redis.call('XACK', KEY.ready(agent), NAME.group, message)
  if redis.call('XDEL', KEY.ready(agent), message) == 1 and lengths[agent] then
    lengths[agent] = lengths[agent] - 1
  end
end

-- Takes the oldest message out of an agent's stream, past the group: message, task, entries. A worker to which the
-- group delivered it meanwhile finds its steps begun.
local function receive(agent)
  if ready_length(agent) == 0 then return nil end
  local row = redis.call('XRANGE', KEY.ready(agent), '-', '+', 'COUNT', 1)[1]
  if not row then return nil end
  return row[1], row[2][2], row[2][4]
end
