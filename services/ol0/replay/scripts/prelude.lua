-- Stands before every script of this folder. Keys and formats: see layout.py.
--
-- Redis does not undo what a script wrote before it failed. So every script checks everything first, and only then
-- writes. Statuses: OK, UNKNOWN, UNCLAIMED, FENCED, DUP, GAP, CORRUPT, BAD, FULL, STALE, RECREATED.

local META, WATERMARKS, PAYLOADS, FEEDBACK, OPEN, WAITING, PRIORITIES, ENTRIES, OUTBOX, USERS = unpack(KEYS)
local TYPES = {'hash', 'hash', 'hash', 'hash', 'zset', 'zset', 'string', 'string', 'stream', 'hash'}

local ID_BYTES = 16
local SCORE_DIGITS = 13
local FIELD_BYTES = SCORE_DIGITS + ID_BYTES -- a field of PAYLOADS: deadline and decision id
local ENTRY_BYTES = FIELD_BYTES + 4         -- a slot of ENTRIES: that field and a float32 reward
local PRIORITY_BYTES = 4                    -- a slot of PRIORITIES: a float32
local FEEDBACK_BYTES = 48                   -- an entry of FEEDBACK
local SLOT_BYTES = 4                        -- number of a slot, as a uint32
local NO_PRIORITY = '\0\0\0\0'             -- of a slot without an example, or with one that was excluded
local LARGEST_BATCH = 2000                  -- unpack() stops below 8,000 values, and a payload takes two

-- Of META: what has to be there, and what is not a whole number.
local REQUIRED = {'incarnation', 'head', 'sequence', 'next_outcome', 'capacity', 'max_open', 'max_priority',
  'count:waiting'}
local NO_INTEGER = {incarnation = true, frontier = true, max_priority = true}
local INTEGER = '^%-?%d+$'
local TOPIC_ID = '^id:' -- fields of META that hold text too: of which topic a partition is

local call = redis.call

-- A wrong type would stop a script at the first command that meets it, which may be after some writes.
for i, key in ipairs(KEYS) do
  local kind = call('TYPE', key).ok
  if kind ~= 'none' and kind ~= TYPES[i] then
    return {'CORRUPT', key .. ' is a ' .. kind .. ', not a ' .. TYPES[i]}
  end
end

-- "13-digit deadline, then id": sorts like (deadline, id), and is what the sorted set OPEN can be turned into.
-- The deadline is a score as the server writes it: digits, as many as it has.
local function payload_field(deadline, id)
  if #deadline < SCORE_DIGITS then deadline = string.rep('0', SCORE_DIGITS - #deadline) .. deadline end
  return deadline .. id
end

-- A blob of equally long pieces as a list.
local function split(blob, width)
  local pieces = {}
  for i = 1, #blob / width do pieces[i] = string.sub(blob, (i - 1) * width + 1, i * width) end
  return pieces
end

-- "name=3,other=1" as a table.
local function parse_counts(text)
  local counts = {}
  for name, count in string.gmatch(text, '([%w_]+)=(%d+)') do counts[name] = tonumber(count) end
  return counts
end

local function add(counts, name, count)
  counts[name] = (counts[name] or 0) + count
end

local function write_counts(counts)
  for name, count in pairs(counts) do
    if count ~= 0 then call('HINCRBY', META, 'count:' .. name, count) end
  end
end

-- META, its numbers as numbers, and as `watermark` the event time that all registered partitions have passed (nil before
-- the first is registered). Where anything is missing, or no number, or the ring is not whole: nil, and what is wrong.
-- All of META, because HINCRBY stops at what is no number, and by then something would be written.
local function guard()
  local fields, meta, partitions = call('HGETALL', META), {}, 0
  for i = 1, #fields, 2 do
    local name, value = fields[i], fields[i + 1]
    local is_text = NO_INTEGER[name] or string.find(name, TOPIC_ID)
    if not is_text and not string.find(value, INTEGER) then return nil, META .. ' has no number ' .. name end
    meta[name] = is_text and value or tonumber(value)
    if string.find(name, '^next:') then partitions = partitions + 1 end
  end
  for _, name in ipairs(REQUIRED) do
    if not meta[name] then return nil, META .. ' has no number ' .. name end
  end
  meta.max_priority = tonumber(meta.max_priority)
  if not meta.max_priority or not (meta.max_priority > 0 and meta.max_priority < math.huge) then
    return nil, META .. ' has no number max_priority'
  end
  for key, width in pairs({[PRIORITIES] = PRIORITY_BYTES, [ENTRIES] = ENTRY_BYTES}) do
    local found, right = call('STRLEN', key), meta.capacity * width
    if found ~= right then return nil, string.format('%s has %d bytes, not %d', key, found, right) end
  end
  local watermarks = call('HVALS', WATERMARKS)
  if #watermarks ~= partitions then
    return nil, string.format('%s has %d watermarks of %d partitions', WATERMARKS, #watermarks, partitions)
  end
  for _, text in ipairs(watermarks) do
    if not string.find(text, INTEGER) then return nil, WATERMARKS .. ' has a watermark that is no number' end
    meta.watermark = math.min(meta.watermark or math.huge, tonumber(text))
  end
  return meta
end

-- Slots from..to-1 of a ring, counted from its beginning for ever, as one string.
local function read_ring(key, width, capacity, from, to)
  local count = to - from
  if count <= 0 then return '' end
  local slot = from % capacity
  local before_wrap = math.min(count, capacity - slot)
  local blob = call('GETRANGE', key, slot * width, (slot + before_wrap) * width - 1)
  if before_wrap == count then return blob end
  return blob .. call('GETRANGE', key, 0, (count - before_wrap) * width - 1)
end

-- Whether a slot still holds this example, and it was not excluded.
local function holds(slot, field)
  local at, priority_at = slot * ENTRY_BYTES, slot * PRIORITY_BYTES
  return call('GETRANGE', ENTRIES, at, at + FIELD_BYTES - 1) == field
    and call('GETRANGE', PRIORITIES, priority_at, priority_at + PRIORITY_BYTES - 1) ~= NO_PRIORITY
end

-- Writes at most `capacity` slots, one string, from position `head` on.
local function write_ring(key, width, capacity, head, blob)
  local slot = head % capacity
  local before_wrap = (capacity - slot) * width
  call('SETRANGE', key, slot * width, string.sub(blob, 1, before_wrap))
  if before_wrap < #blob then call('SETRANGE', key, 0, string.sub(blob, before_wrap + 1)) end
end
