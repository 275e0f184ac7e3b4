#!lua flags=allow-oom
-- Makes the store where there is none, and takes in source partitions that it does not know yet. Idempotent.
-- ARGV: incarnation, ring capacity and max open windows of a new store, then partition and start offset in turn.
-- Returns the incarnation and the capacity that hold.

local incarnation, capacity, max_open = ARGV[1], tonumber(ARGV[2]), ARGV[3]
-- A partition that joins later starts where all others have passed: nothing that was closed opens again.
local watermark = 0

if call('EXISTS', META) == 0 then
  for _, key in ipairs(KEYS) do
    if call('EXISTS', key) == 1 then return {'CORRUPT', key .. ' is there, but ' .. META .. ' is not'} end
  end
  call('HSET', META, 'capacity', capacity, 'head', 0, 'sequence', 0, 'max_priority', 1, 'count:waiting', 0,
    'next_outcome', 0, 'max_open', max_open, 'incarnation', incarnation)
  call('SETRANGE', PRIORITIES, capacity * PRIORITY_BYTES - 1, '\0')
  call('SETRANGE', ENTRIES, capacity * ENTRY_BYTES - 1, '\0')
else
  local meta, flaw = guard()
  if not meta then return {'CORRUPT', flaw} end
  watermark = meta.watermark or 0
end

for i = 4, #ARGV, 2 do
  if call('HSETNX', META, 'next:' .. ARGV[i], ARGV[i + 1]) == 1 then call('HSET', WATERMARKS, ARGV[i], watermark) end
end
return {'OK', unpack(call('HMGET', META, 'incarnation', 'capacity'))}
