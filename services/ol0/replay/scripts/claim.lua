#!lua flags=allow-oom
-- Makes the caller the owner of a partition: whoever applies with a smaller epoch from now on is fenced.
-- ARGV: partition, incarnation. Returns epoch, next offset, watermark.

local partition, incarnation = ARGV[1], ARGV[2]

local found = call('HMGET', META, 'next:' .. partition, 'incarnation')
if not found[1] or found[2] ~= incarnation then return {'UNKNOWN'} end
local meta, flaw = guard()
local watermark = call('HGET', WATERMARKS, partition)
if not meta or not watermark then return {'CORRUPT', flaw or WATERMARKS .. ' lacks ' .. partition} end
return {'OK', call('HINCRBY', META, 'epoch:' .. partition, 1), found[1], watermark}
