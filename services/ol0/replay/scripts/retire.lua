#!lua flags=allow-oom
-- Forgets a partition that the broker has no more: its topic was made anew with fewer. Time would wait for it for ever.
-- ARGV: partition. Returns how many there were.

local partition = ARGV[1]

local meta, flaw = guard()
if not meta then return {'CORRUPT', flaw} end
call('HDEL', META, 'epoch:' .. partition, 'id:' .. partition)
call('HDEL', WATERMARKS, partition)
return {'OK', call('HDEL', META, 'next:' .. partition)}
