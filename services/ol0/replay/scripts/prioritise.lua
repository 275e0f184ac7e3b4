#!lua flags=allow-oom
-- New priorities from the learner. A slot that holds another example by now is left alone, and so is one whose example
-- was excluded: a priority would call it back.
-- ARGV: blob of slot (uint32), field, priority (float32).

local UPDATE_BYTES = SLOT_BYTES + FIELD_BYTES + PRIORITY_BYTES

local meta, flaw = guard()
if not meta then return {'CORRUPT', flaw} end
local largest, written = meta.max_priority, 0
for _, update in ipairs(split(ARGV[1], UPDATE_BYTES)) do
  local slot, field = struct.unpack('<I4', update), string.sub(update, SLOT_BYTES + 1, SLOT_BYTES + FIELD_BYTES)
  if holds(slot, field) then
    local priority = string.sub(update, SLOT_BYTES + FIELD_BYTES + 1)
    call('SETRANGE', PRIORITIES, slot * PRIORITY_BYTES, priority)
    largest, written = math.max(largest, (struct.unpack('<f', priority))), written + 1
  end
end
if largest > meta.max_priority then call('HSET', META, 'max_priority', string.format('%.9g', largest)) end
return {'OK', written}
