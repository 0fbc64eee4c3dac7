-- Protobuf encoding, as far as the scripts write events and metrics themselves.
-- https://protobuf.dev/programming-guides/encoding/

local function varint(n)
  local out = ''
  while n >= 128 do
    out = out .. string.char(n % 128 + 128)
    n = math.floor(n / 128)
  end
  return out .. string.char(n)
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
