#!lua flags=allow-oom
-- Goes to another offset of the same log, which no longer has the one that comes next: forwards over what expired unread,
-- or back to the end of a log that was cut. What is passed over is counted. Idempotent.
-- ARGV: partition, incarnation, epoch, expected offset, new offset, counter. Returns OK.

local partition, incarnation, epoch = ARGV[1], ARGV[2], tonumber(ARGV[3])
local expected, to, counter = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]

local found = call('HMGET', META, 'next:' .. partition, 'epoch:' .. partition, 'incarnation')
local reached, owner = tonumber(found[1]), tonumber(found[2])
if not reached or found[3] ~= incarnation then return {'UNKNOWN'} end
if not owner or epoch > owner then return {'UNCLAIMED'} end
if epoch < owner then return {'FENCED', owner} end
local meta, flaw = guard()
if not meta then return {'CORRUPT', flaw} end
if reached == to then return {'OK'} end
if reached ~= expected then return {'GAP', reached} end
write_counts({[counter] = math.abs(to - expected)})
call('HSET', META, 'next:' .. partition, ARGV[5])
return {'OK'}
