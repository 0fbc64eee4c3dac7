-- Protobuf encoding, as far as the scripts write events and metrics themselves.
-- https://protobuf.dev/programming-guides/encoding/

local char = string.char

local function varint(n)
  if n < 128 then return char(n) end
  local out = ''
  while n >= 128 do
    local low = n % 128
    out = out .. char(low + 128)
    n = (n - low) / 128
  end
  return out .. char(n)
end

-- A field of wire type 2: strings, bytes, messages. Tags are one byte up to field 15, two above.
local function field_bytes(number, value)
  return varint(number * 8 + 2) .. varint(#value) .. value
end

local function field_int(number, value)
  if value == 0 then return '' end
  return varint(number * 8) .. varint(value)
end

-- google.protobuf.Duration and Timestamp have the same fields: seconds and nanos.
local function time_message(microseconds)
  local seconds = math.floor(microseconds / 1000000)
  return field_int(1, seconds) .. field_int(2, (microseconds - seconds * 1000000) * 1000)
end

local function duration_ms(number, milliseconds)
  if milliseconds < 0 then milliseconds = 0 end
  return field_bytes(number, time_message(milliseconds * 1000))
end

local function read_varint(bytes, place)
  local value, weight = 0, 1
  while true do
    local byte = string.byte(bytes, place)
    place = place + 1
    value = value + byte % 128 * weight
    if byte < 128 then return value, place end
    weight = weight * 128
  end
end

-- The bytes of troupe.api.orchestrator.v1.TaskOutput, made of those of troupe.api.common.v1.StepOutput: text, media
-- type and citations are kept, the rest is for agents.
local TASK_OUTPUT_FIELDS = { [1] = 1, [2] = 2, [5] = 3 }

local function task_output(step_output)
  local kept, place = {}, 1
  while place <= #step_output do
    local tag, length
    tag, place = read_varint(step_output, place)
    local wire_type = tag % 8
    if wire_type == 2 then
      length, place = read_varint(step_output, place)
      local number = TASK_OUTPUT_FIELDS[math.floor(tag / 8)]
      if number then table.insert(kept, field_bytes(number, string.sub(step_output, place, place + length - 1))) end
      place = place + length
    elseif wire_type == 0 then
      length, place = read_varint(step_output, place)
    else
      place = place + (wire_type == 5 and 4 or 8)
    end
  end
  return table.concat(kept)
end
