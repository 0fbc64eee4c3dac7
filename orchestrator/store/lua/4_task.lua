-- A task during an operation: what it needs is read at once, and what changed is written at once when the operation
-- ends, so that an operation that fails changes nothing.
--
-- A task is one hash. Its small values are packed, since a script pays for each field that it touches: `task` holds
-- what changes (T), `base` what does not (B); of each step `<step>:now` holds what changes (S), `<step>:base` what does
-- not (X). `orchestrator.store.schema` names their fields and docs/storage.md says what they are: `task.t[T.state]` is one,
-- put in as its place, and a row is made by the names of its fields. Not set is 0 of a number, '' of a text.

-- What one command may take.
local FIELDS = 2000

local function open_task(id)
  return { id = id, key = KEY.task(id), events = {}, steps = {}, bases = {}, changed = {}, dropped = {}, dirty = {} }
end

-- Gives a row that an earlier release wrote the fields that came since.
local function fill(values, defaults)
  for i = #values + 1, #defaults do values[i] = defaults[i] end
end

-- Reads a task and some of its steps, as far as they are not there yet. False: there is no such task.
local function read(task, steps)
  local names, wanted = {}, {}
  if not task.t then names, wanted = { 'task', 'base' }, { '' } end
  for _, step in ipairs(steps or {}) do
    if task.steps[step] == nil then
      task.steps[step] = false
      wanted[#wanted + 1] = step
      names[#names + 1] = step .. ':now'
      names[#names + 1] = step .. ':base'
    end
  end
  for first = 1, #names, FIELDS do
    local values = redis.call('HMGET', task.key, unpack(names, first, math.min(first + FIELDS - 1, #names)))
    for i = 1, #values, 2 do
      local step = wanted[(first + i) / 2]
      local value, base = values[i] and cmsgpack.unpack(values[i]), values[i + 1] and cmsgpack.unpack(values[i + 1])
      if step ~= '' then
        if value and #value < COUNT.S then fill(value, S{}) end
        if base and #base < COUNT.X then fill(base, X{}) end
        task.steps[step], task.bases[step] = value, base
      elseif value then
        if #value < COUNT.T then fill(value, T{}) end
        if #base < COUNT.B then fill(base, B{}) end
        task.t, task.b = value, base
      else
        return false
      end
    end
  end
  return true
end

local function step_of(task, step)
  if task.steps[step] == nil then read(task, { step }) end
  return task.steps[step]
end

-- The values of a step, to be changed.
local function edit(task, step)
  task.dirty[step] = true
  return step_of(task, step)
end

local function base_of(task, step)
  step_of(task, step)
  return task.bases[step]
end

local function state_of(task, step) return step_of(task, step)[S.state] end

local function set_state(task, step, state)
  local s = edit(task, step)
  s[S.state] = state
  if state >= STEP.COMPLETED then s[S.ended] = now end
  return s
end

-- A field that stands for itself; false when there is none.
local function get(task, name)
  if task.changed[name] ~= nil then return task.changed[name] end
  if task.dropped[name] then return false end
  return redis.call('HGET', task.key, name)
end

local function set(task, name, value)
  task.changed[name] = value
  task.dropped[name] = nil
end

local function drop(task, ...)
  for _, name in ipairs({ ... }) do
    task.changed[name] = nil
    task.dropped[name] = true
  end
end

local function note(task, event, body) table.insert(task.events, event_message(task.id, event, body)) end

local function order_of(task)
  local order = {}
  for step in each(get(task, 'order')) do order[#order + 1] = step end
  return order
end

-- The states of the tasks that ended in this call.
local endings = {}

-- Writes what changed and appends what is to be told.
local function save(task)
  if not task.t then return end
  append(task)
  local fields, names = { 'task', cmsgpack.pack(task.t) }, {}
  local function put(name, value)
    fields[#fields + 1] = name
    fields[#fields + 1] = value
  end
  for step in pairs(task.dirty) do put(step .. ':now', cmsgpack.pack(task.steps[step])) end
  for name, value in pairs(task.changed) do put(name, value) end
  for i = 1, #fields, FIELDS do redis.call('HSET', task.key, unpack(fields, i, math.min(i + FIELDS - 1, #fields))) end
  for name in pairs(task.dropped) do names[#names + 1] = name end
  if #names > 0 then redis.call('HDEL', task.key, unpack(names)) end
  if task.ended then
    endings[#endings + 1] = task.ended
    redis.call('PEXPIRE', task.key, task.b[B.retention])
    redis.call('PEXPIRE', KEY.log(task.id), task.b[B.retention])
  end
end
