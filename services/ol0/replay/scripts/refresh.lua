#!lua flags=no-writes
-- What the learner does not know yet of the ring.
-- ARGV: incarnation, head it knows, exclusions it knows. Returns head, capacity, watermark, open windows, priorities and
-- entries of the slots since then (of the whole ring where it knows nothing, where examples were excluded meanwhile, or
-- where the store went back), and META.

local incarnation, seen, excluded = ARGV[1], tonumber(ARGV[2]), ARGV[3]

if call('HGET', META, 'incarnation') ~= incarnation then return {'UNKNOWN'} end
local meta, flaw = guard()
if not meta then return {'CORRUPT', flaw} end
if (call('HGET', META, 'count:excluded') or '0') ~= excluded then seen = 0 end
local from = math.max(seen <= meta.head and seen or 0, meta.head - meta.capacity)
return {'OK', meta.head, meta.capacity, meta.watermark or 0, call('ZCARD', OPEN),
  read_ring(PRIORITIES, PRIORITY_BYTES, meta.capacity, from, meta.head),
  read_ring(ENTRIES, ENTRY_BYTES, meta.capacity, from, meta.head),
  call('HGETALL', META)}
