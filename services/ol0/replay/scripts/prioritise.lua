#!lua flags=allow-oom
-- New priorities from the learner. A slot that holds another example by now is left alone.
-- ARGV: blob of slot (uint32), field, priority (float32).

local UPDATE_BYTES = 4 + FIELD_BYTES + 4

local meta = guard()
if not meta then return {'CORRUPT'} end
local largest, written = meta.max_priority, 0
for _, update in ipairs(split(ARGV[1], UPDATE_BYTES)) do
  local slot, field = struct.unpack('<I4', update), string.sub(update, 5, 4 + FIELD_BYTES)
  local at = slot * ENTRY_BYTES
  if call('GETRANGE', ENTRIES, at, at + FIELD_BYTES - 1) == field then
    local priority = string.sub(update, 5 + FIELD_BYTES)
    call('SETRANGE', PRIORITIES, slot * PRIORITY_BYTES, priority)
    largest, written = math.max(largest, (struct.unpack('<f', priority))), written + 1
  end
end
if largest > meta.max_priority then call('HSET', META, 'max_priority', string.format('%.9g', largest)) end
return {'OK', written}
