#!lua flags=allow-oom
-- Sets how many windows may be open. ARGV: incarnation, max open windows.

local meta, flaw = guard()
if not meta then return {'CORRUPT', flaw} end
if meta.incarnation ~= ARGV[1] then return {'UNKNOWN'} end
call('HSET', META, 'max_open', ARGV[2])
return {'OK'}
