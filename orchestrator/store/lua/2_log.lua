-- The history of a task: a list of framed events. The task knows the newest sequence and how many events were dropped
-- from the list's front.

local clock = redis.call('TIME')
local now_us = clock[1] * 1000000 + clock[2]
local now = math.floor(now_us / 1000)
local event_time = field_bytes(3, time_message(now_us))

-- The time by which leases, delays and deadlines run. It is that of Redis, only that it never goes back: when the clock
-- is set back, or another master's is slow, it goes on from where it was last looked at. `clock` holds when that was, how
-- far this time is ahead of Redis's since, and until when messages may have been delivered before it was set back.
local SETTLING = 2000
local looked_at, ahead, unsettled = 0, 0, 0
local kept = redis.call('GET', KEY.clock)
if kept then
  looked_at, ahead, unsettled = string.match(kept, '^(%d+) (%d+) (%d+)$')
  looked_at, ahead, unsettled = tonumber(looked_at), tonumber(ahead), tonumber(unsettled)
end

local function look_at_clock()
  redis.call('SET', KEY.clock, string.format('%d %d %d', now, ahead, unsettled))
end

if now < looked_at then
  ahead = ahead + looked_at - now
  unsettled = now + ahead + SETTLING
  look_at_clock()
end
local due_now = now + ahead

local INLINE_BYTES = 8192
local LIVE_LENGTH = 4096

local function each(csv) return string.gmatch(csv or '', '[^,]+') end

local function event_message(id, number, body) return field_bytes(1, id) .. field_bytes(number, body) end

-- Drops the oldest events of a history that is longer than its task keeps, an eighth of it at a time.
local function trim(task, length)
  local keep = task.b[B.keep]
  if length <= keep + keep / 8 then return end
  redis.call('LTRIM', KEY.log(task.id), -keep, -1)
  task.t[T.trimmed] = task.t[T.sequence] - keep
end

-- Appends the events of a task and tells the tails of this partition. Events come without sequence and time; protobuf
-- takes fields in any order, so both are put behind. Large frames are left out of the live stream: who wants them
-- reads the log.
local function append(task)
  local count, before = #task.events, task.t[T.sequence]
  if count == 0 then return end
  local frames, length = {}, 0
  for i, event in ipairs(task.events) do
    frames[i] = field_bytes(1, event .. field_int(2, before + i) .. event_time)
  end
  for i = 1, count, 1000 do
    length = redis.call('RPUSH', KEY.log(task.id), unpack(frames, i, math.min(i + 999, count)))
  end
  task.t[T.sequence] = before + count
  trim(task, length)
  local chunk = table.concat(frames)
  if #chunk > INLINE_BYTES then chunk = '' end
  redis.call('XADD', KEY.live, 'MAXLEN', '~', LIVE_LENGTH, '*',
    't', task.id, 'n', before + count, 's', before + 1, 'f', chunk, 'z', task.ended and 1 or 0)
  task.events = {}
end
