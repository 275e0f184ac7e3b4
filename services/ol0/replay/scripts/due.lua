#!lua flags=no-writes
-- Lists windows that the watermark has closed, in (deadline, id) order. They are frozen: whatever arrives from now on
-- is effective at or after the watermark, so after their deadlines.
-- ARGV: limit. Returns sequence, number of the next outcome, frontier, watermark, ids, deadlines, heads of the payloads,
-- feedback, number of expired orphan piles.

local limit = tonumber(ARGV[1])

-- A payload begins with the number of bytes that closing needs (uint32): the features need not travel once more.
local function head_of(payload)
  if not payload or #payload < 4 then return payload end
  return string.sub(payload, 1, (struct.unpack('<I4', payload)))
end

local meta, flaw = guard()
if not meta or not meta.watermark then return {'CORRUPT', flaw or WATERMARKS .. ' is empty'} end
local watermark = meta.watermark
local reply = {'OK', meta.sequence, meta.next_outcome, meta.frontier or '', watermark}
limit = math.min(limit, LARGEST_BATCH, meta.capacity)

local expired = #call('ZRANGEBYSCORE', WAITING, '-inf', watermark, 'LIMIT', 0, limit)
local due = call('ZRANGEBYSCORE', OPEN, '-inf', watermark, 'WITHSCORES', 'LIMIT', 0, limit)
local ids, deadlines, fields = {}, {}, {}
for i = 1, #due / 2 do
  ids[i], deadlines[i] = due[2 * i - 1], due[2 * i]
  fields[i] = payload_field(deadlines[i], ids[i])
end
local heads, feedback = {}, {}
if #ids > 0 then heads, feedback = call('HMGET', PAYLOADS, unpack(fields)), call('HMGET', FEEDBACK, unpack(ids)) end
for i, payload in ipairs(heads) do heads[i] = head_of(payload) end
for _, part in ipairs({ids, deadlines, heads, feedback, expired}) do reply[#reply + 1] = part end
return reply
