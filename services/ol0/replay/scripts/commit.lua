#!lua flags=allow-oom
-- Closes windows that DUE listed: outcomes to the outbox, those with a reward to the ring. Compare-and-set on the
-- sequence: of several workers that computed the same outcomes, one commits.
-- ARGV: see the locals. Fewer outcomes than windows where some were published before.

local sequence, id_blob, reward_blob = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local user_blob, limit = ARGV[4], tonumber(ARGV[5]) -- who decided; examples of one user in an hour, 0: any number
local counts = parse_counts(ARGV[6])
local outcomes, outcome_blob = tonumber(ARGV[7]), ARGV[8] or ''

local USER_BYTES = 8
local NOBODY = string.rep('\0', USER_BYTES)
local HOUR_MS = 3600000

-- How many examples each of these users has in the hour that windows close in now. Windows close in the order of their
-- deadlines, so only one hour is ever needed, and the counts are a function of the logs.
local function read_tally(users)
  local tally = {hour = tonumber(call('HGET', META, 'hour')), examples = {}, new_hour = false}
  local stored = limit > 0 and #users > 0 and call('HMGET', USERS, unpack(users)) or {}
  for i, user in ipairs(users) do tally.examples[user] = tonumber(stored[i]) end
  return tally
end

-- Counts one more example of the user, unless that is beyond the limit.
local function admit(tally, user, deadline)
  if limit == 0 or user == NOBODY then return true end
  local hour = math.floor(deadline / HOUR_MS)
  if hour ~= tally.hour then tally.hour, tally.examples, tally.new_hour = hour, {}, true end
  local before = tally.examples[user] or 0
  if before >= limit then return false end
  tally.examples[user] = before + 1
  return true
end

local function write_tally(tally)
  if tally.new_hour then
    call('DEL', USERS)
    call('HSET', META, 'hour', string.format('%.0f', tally.hour))
  end
  local fields = {}
  for user, examples in pairs(tally.examples) do fields[#fields + 1], fields[#fields + 2] = user, examples end
  if #fields > 0 then call('HSET', USERS, unpack(fields)) end
end

-- Ring entries of the windows and fields of those that make none, and how many of these a user's limit cost; nil where
-- one is not due (somebody else was faster).
local function closing(ids, rewards, users, tally, watermark)
  local deadlines = #ids > 0 and call('ZMSCORE', OPEN, unpack(ids)) or {}
  local entries, without_example, capped = {}, {}, 0
  for i, id in ipairs(ids) do
    local deadline = tonumber(deadlines[i])
    if not deadline or deadline > watermark then return nil end
    local field, reward = payload_field(deadlines[i], id), struct.unpack('<f', rewards[i])
    local rewarded = reward == reward -- NaN: no reward
    if rewarded and admit(tally, users[i], deadline) then entries[#entries + 1] = field .. rewards[i]
    else
      without_example[#without_example + 1] = field
      if rewarded then capped = capped + 1 end
    end
  end
  return entries, without_example, capped
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

local meta, flaw = guard()
if not meta or not meta.watermark then return {'CORRUPT', flaw or WATERMARKS .. ' is empty'} end
if meta.sequence ~= sequence then return {'STALE', meta.sequence} end
local ids, rewards, users = split(id_blob, ID_BYTES), split(reward_blob, 4), split(user_blob, USER_BYTES)
local most = math.min(LARGEST_BATCH, meta.capacity)
if #id_blob % ID_BYTES ~= 0 or #rewards ~= #ids or #users ~= #ids or #ids > most or not limit
  or not outcomes or outcomes > #ids or (outcomes == 0) ~= (#outcome_blob == 0) then
  return {'BAD'}
end
local next_outcome, tally = meta.next_outcome + outcomes, read_tally(users)
local entries, gone, capped = closing(ids, rewards, users, tally, meta.watermark)
if not entries then return {'STALE', meta.sequence} end
local evicted = overwritten(meta, #entries)
for _, field in ipairs(evicted) do gone[#gone + 1] = field end

if #entries > 0 then
  local priority = struct.pack('<f', meta.max_priority) -- new examples are drawn soon, whatever they turn out to be
  write_ring(PRIORITIES, PRIORITY_BYTES, meta.capacity, meta.head, string.rep(priority, #entries))
  write_ring(ENTRIES, ENTRY_BYTES, meta.capacity, meta.head, table.concat(entries))
end
if outcomes > 0 then
  -- The id in the stream is the last outcome's number, so that trimming by it is idempotent ("0-0" may not be one).
  call('XADD', OUTBOX, string.format('%.0f-1', next_outcome - 1), 'o', outcome_blob)
end
if limit > 0 then write_tally(tally) end
if #ids > 0 then
  call('ZREM', OPEN, unpack(ids))
  call('HDEL', FEEDBACK, unpack(ids))
end
if #gone > 0 then call('HDEL', PAYLOADS, unpack(gone)) end
add(counts, 'outcomes', #ids)
add(counts, 'examples', #entries)
add(counts, 'capped', capped)
add(counts, 'null_rewards', #ids - #entries - capped)
add(counts, 'evicted', #evicted)
drop_orphans(meta.watermark)
counts.waiting = 0
for name, count in pairs(counts) do
  if string.find(name, '^feedback_') then add(counts, 'waiting', -count) end
end
write_counts(counts)
call('HSET', META, 'head', meta.head + #entries, 'sequence', sequence + #ids, 'next_outcome', next_outcome)
return {'OK', #ids}
