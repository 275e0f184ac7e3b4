#!lua flags=allow-oom
-- Closes windows that DUE listed: outcomes to the outbox, those with a reward to the ring. Compare-and-set on the
-- sequence: of several workers that computed the same outcomes, one commits.
-- ARGV: see the locals; outcomes follow from OUTCOMES_FROM on, one per window.

local sequence, id_blob, reward_blob, counts = tonumber(ARGV[1]), ARGV[2], ARGV[3], parse_counts(ARGV[4])
local OUTCOMES_FROM = 5

-- Fields and ring entries of the windows; nil where one is not due (somebody else was faster).
local function closing(ids, rewards, watermark)
  local deadlines = #ids > 0 and call('ZMSCORE', OPEN, unpack(ids)) or {}
  local entries, without_reward = {}, {}
  for i, id in ipairs(ids) do
    if not deadlines[i] or tonumber(deadlines[i]) > watermark then return nil end
    local field, reward = payload_field(deadlines[i], id), struct.unpack('<f', rewards[i])
    if reward == reward then entries[#entries + 1] = field .. rewards[i] -- NaN: no reward
    else without_reward[#without_reward + 1] = field end
  end
  return entries, without_reward
end

-- Fields of the examples that `count` new ones will overwrite.
local function overwritten(meta, count)
  local from = math.max(0, meta.head - meta.capacity)
  local to = math.max(0, meta.head + count - meta.capacity)
  local fields = split(read_ring(ENTRIES, ENTRY_BYTES, meta.capacity, from, to), ENTRY_BYTES)
  for i, entry in ipairs(fields) do fields[i] = string.sub(entry, 1, FIELD_BYTES) end
  return fields
end

-- Feedback whose decision never came, or had closed: no decision that is still accepted can use it.
local function drop_orphans(watermark)
  local ids = call('ZRANGEBYSCORE', WAITING, '-inf', watermark, 'LIMIT', 0, LARGEST_BATCH)
  if #ids == 0 then return end
  local open, orphans = call('ZMSCORE', OPEN, unpack(ids)), {}
  for i, id in ipairs(ids) do
    if not open[i] then
      orphans[#orphans + 1] = id
      add(counts, 'feedback_orphan', call('HSTRLEN', FEEDBACK, id) / FEEDBACK_BYTES)
    end
  end
  if #orphans > 0 then call('HDEL', FEEDBACK, unpack(orphans)) end
  call('ZREM', WAITING, unpack(ids))
end

local meta = guard()
local watermark = overall_watermark()
if not meta or not watermark then return {'CORRUPT'} end
if meta.sequence ~= sequence then return {'STALE', meta.sequence} end
local ids, rewards = split(id_blob, ID_BYTES), split(reward_blob, 4)
local most = math.min(LARGEST_BATCH, meta.capacity)
if #id_blob % ID_BYTES ~= 0 or #rewards ~= #ids or #ids > most or #ARGV ~= OUTCOMES_FROM - 1 + #ids then
  return {'BAD'}
end
local entries, gone = closing(ids, rewards, watermark)
if not entries then return {'STALE', meta.sequence} end
local evicted = overwritten(meta, #entries)
for _, field in ipairs(evicted) do gone[#gone + 1] = field end

if #entries > 0 then
  local priority = struct.pack('<f', meta.max_priority) -- new examples are drawn soon, whatever they turn out to be
  local priorities = {}
  for i = 1, #entries do priorities[i] = priority end
  write_ring(PRIORITIES, PRIORITY_BYTES, meta.capacity, meta.head, priorities)
  write_ring(ENTRIES, ENTRY_BYTES, meta.capacity, meta.head, entries)
end
for i = 1, #ids do
  -- The id in the stream is the sequence, so that trimming by it is idempotent ("0-0" may not be one).
  call('XADD', OUTBOX, string.format('%.0f-1', sequence + i - 1), 'o', ARGV[OUTCOMES_FROM - 1 + i])
end
if #ids > 0 then
  call('ZREM', OPEN, unpack(ids))
  call('HDEL', FEEDBACK, unpack(ids))
end
if #gone > 0 then call('HDEL', PAYLOADS, unpack(gone)) end
add(counts, 'outcomes', #ids)
add(counts, 'examples', #entries)
add(counts, 'null_rewards', #ids - #entries)
add(counts, 'evicted', #evicted)
drop_orphans(watermark)
counts.waiting = 0
for name, count in pairs(counts) do
  if string.find(name, '^feedback_') then add(counts, 'waiting', -count) end
end
write_counts(counts)
call('HSET', META, 'head', meta.head + #entries, 'sequence', sequence + #ids)
return {'OK', #ids}
