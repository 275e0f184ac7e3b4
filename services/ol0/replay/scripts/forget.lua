#!lua flags=allow-oom
-- Takes open windows away, with their feedback: no outcome, but a counted drop. Whoever has listed them as due finds
-- one of them gone, and lists again.
-- ARGV: blob of fields, reason. Returns how many were open.

local reason = ARGV[2] or ''
local decisions, feedback = 'decisions_' .. reason, 'feedback_' .. reason

local meta, flaw = guard()
if not meta then return {'CORRUPT', flaw} end
local fields, ids, open_fields, counts, seen = split(ARGV[1], FIELD_BYTES), {}, {}, {}, {}
if #ARGV[1] % FIELD_BYTES ~= 0 or #fields > LARGEST_BATCH or reason == '' then return {'BAD'} end

for _, field in ipairs(fields) do
  local id = string.sub(field, SCORE_DIGITS + 1)
  local deadline = call('ZSCORE', OPEN, id)
  if deadline and payload_field(deadline, id) == field and not seen[id] then
    seen[id] = true
    ids[#ids + 1], open_fields[#open_fields + 1] = id, field
    add(counts, decisions, 1)
    add(counts, feedback, call('HSTRLEN', FEEDBACK, id) / FEEDBACK_BYTES)
  end
end
if #ids == 0 then return {'OK', 0} end
call('ZREM', OPEN, unpack(ids))
call('HDEL', PAYLOADS, unpack(open_fields))
call('HDEL', FEEDBACK, unpack(ids))
counts.waiting = -counts[feedback]
write_counts(counts)
return {'OK', #ids}
