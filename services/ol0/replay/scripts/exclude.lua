#!lua flags=allow-oom
-- Takes examples out of the ring: they keep their slots, but have no priority and no payload any more. A slot that holds
-- another example by now is left alone.
-- ARGV: blob of slot (uint32) and field. Returns how many were taken out.

local REMOVAL_BYTES = SLOT_BYTES + FIELD_BYTES

local meta, flaw = guard()
if not meta then return {'CORRUPT', flaw} end
if #ARGV[1] % REMOVAL_BYTES ~= 0 then return {'BAD'} end

local excluded = 0
for _, removal in ipairs(split(ARGV[1], REMOVAL_BYTES)) do
  local slot, field = struct.unpack('<I4', removal), string.sub(removal, SLOT_BYTES + 1)
  if holds(slot, field) then
    call('SETRANGE', PRIORITIES, slot * PRIORITY_BYTES, NO_PRIORITY)
    call('HDEL', PAYLOADS, field)
    excluded = excluded + 1
  end
end
write_counts({excluded = excluded})
return {'OK', excluded}
