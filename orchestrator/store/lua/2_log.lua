-- The history of a task: a list of framed events, whose length is the newest sequence.

local prefix = KEYS[1]
local clock = redis.call('TIME')
local now_us = clock[1] * 1000000 + clock[2]
local now = math.floor(now_us / 1000)
local event_time = field_bytes(3, time_message(now_us))

local INLINE_BYTES = 8192
local LIVE_LENGTH = 4096

local function task_key(id) return prefix .. ':task:' .. id end

-- Appends events and tells the tails of this partition. Events come without sequence and time; protobuf takes
-- fields in any order, so both are put behind. Large frames are left out of the live stream: who wants them reads
-- the log.
local function append(id, events, terminal)
  if #events == 0 then return end
  local key = task_key(id) .. ':log'
  local first = redis.call('LLEN', key) + 1
  local frames = {}
  for i, event in ipairs(events) do
    frames[i] = field_bytes(1, event .. field_int(2, first + i - 1) .. event_time)
  end
  for i = 1, #frames, 1000 do
    redis.call('RPUSH', key, unpack(frames, i, math.min(i + 999, #frames)))
  end
  local chunk = table.concat(frames)
  if #chunk > INLINE_BYTES then chunk = '' end
  redis.call('XADD', prefix .. ':live', 'MAXLEN', '~', LIVE_LENGTH, '*',
    't', id, 'n', first + #events - 1, 's', first, 'f', chunk, 'z', terminal and 1 or 0)
end
