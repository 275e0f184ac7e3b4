#!lua flags=allow-oom
-- Holds a partition against its log before it is claimed. One that the store does not know begins where its log does,
-- and where all others have passed: nothing that was closed opens again. An offset belongs to one topic: where the id
-- is another one, the topic was deleted and made anew, and the partition begins again only where that is ordered.
-- ARGV: partition, incarnation, id of its topic (empty: the broker has none), first offset of its log, 1 to begin again.
-- Returns KNOWN, NEW or ANEW; or as a refusal the id that the store has, and how far it has read.

local partition, incarnation, topic_id, first_offset, begins_again = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5] == '1'

if call('HGET', META, 'incarnation') ~= incarnation then return {'UNKNOWN'} end
local meta, flaw = guard()
if not meta then return {'CORRUPT', flaw} end
if not string.find(first_offset, INTEGER) then return {'BAD'} end

local found = call('HMGET', META, 'next:' .. partition, 'id:' .. partition)
local reached, known_id = found[1], found[2] or ''
local is_another = reached and known_id ~= '' and topic_id ~= '' and known_id ~= topic_id
if is_another and not begins_again then return {'RECREATED', known_id, reached} end
if topic_id ~= '' then call('HSET', META, 'id:' .. partition, topic_id) end
if reached and not is_another then return {'OK', 'KNOWN'} end
if is_another then call('HINCRBY', META, 'epoch:' .. partition, 1) -- who still reads the old log is fenced
else call('HSET', WATERMARKS, partition, string.format('%.0f', meta.watermark or 0)) end
call('HSET', META, 'next:' .. partition, first_offset)
return {'OK', is_another and 'ANEW' or 'NEW'}
