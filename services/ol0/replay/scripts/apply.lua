#!lua flags=allow-oom
-- Takes in one batch of one partition, exactly once. allow-oom: the budget is kept here (FULL); if the server refused
-- a tick for memory, the watermark would stop, no window would close and no memory would ever be freed.
-- ARGV: see the locals; payloads follow from PAYLOADS_FROM on, one per decision.

local partition, incarnation, epoch = ARGV[1], ARGV[2], tonumber(ARGV[3])
local first_offset, next_offset, watermark = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local patience = tonumber(ARGV[7]) -- how long feedback waits for its decision, from its effective time on
local decision_blob, deadline_blob, target_blob, feedback_blob = ARGV[8], ARGV[9], ARGV[10], ARGV[11]
local counts = parse_counts(ARGV[12])
local PAYLOADS_FROM = 13

local LARGEST_PILE = 256    -- entries per decision: beyond it somebody floods, and every merge would read them all
local FEEDBACK_PER_OPEN = 8 -- budget of waiting feedback, in entries per open window

local function ownership()
  local found = call('HMGET', META, 'next:' .. partition, 'epoch:' .. partition, 'incarnation')
  local expected, owner = tonumber(found[1]), tonumber(found[2])
  if not expected or found[3] ~= incarnation then return {'UNKNOWN'} end
  if not owner or epoch > owner then return {'UNCLAIMED'} end
  if epoch < owner then return {'FENCED', owner} end
  if expected >= next_offset then return {'DUP', expected} end
  if expected ~= first_offset then return {'GAP', expected} end
end

local function well_formed(previous)
  local decisions, entries = #decision_blob / ID_BYTES, #feedback_blob / FEEDBACK_BYTES
  return watermark and watermark >= previous and patience
    and decisions % 1 == 0 and decisions <= LARGEST_BATCH and #deadline_blob == decisions * SCORE_DIGITS
    and not string.find(deadline_blob, '%D') and #ARGV == PAYLOADS_FROM - 1 + decisions
    and entries % 1 == 0 and entries <= LARGEST_BATCH and #target_blob == entries * ID_BYTES
end

-- The slowest partition is always let in: only it can move the watermark and so make room.
local function over_budget(meta, previous, decisions, entries)
  local open, waiting = call('ZCARD', OPEN) + decisions, meta['count:waiting'] + entries
  local over = decisions > 0 and open > meta.max_open or entries > 0 and waiting > meta.max_open * FEEDBACK_PER_OPEN
  return over and previous > meta.watermark
end

-- Windows that are not open yet: arguments of ZADD and HSET, and their deadlines by id.
local function new_windows(ids)
  local scores, payloads, deadlines = {}, {}, {}
  if #ids == 0 then return scores, payloads, deadlines end
  local texts, known = split(deadline_blob, SCORE_DIGITS), call('ZMSCORE', OPEN, unpack(ids))
  for i, id in ipairs(ids) do
    if known[i] or deadlines[id] then
      add(counts, 'decisions_duplicate', 1)
    else
      deadlines[id] = tonumber(texts[i])
      scores[#scores + 1], scores[#scores + 2] = texts[i], id
      payloads[#payloads + 1], payloads[#payloads + 2] = texts[i] .. id, ARGV[PAYLOADS_FROM - 1 + i]
    end
  end
  return scores, payloads, deadlines
end

local function effective_time(entry) return (struct.unpack('<d', entry, 33)) end

-- Which of two copies of one feedback counts: the one effective earlier, then the smaller bytes, so that the order of
-- arrival says nothing. Byte by byte, because `<` on Lua strings follows the server's locale.
local function precedes(entry, other)
  local mine, its = effective_time(entry), effective_time(other)
  if mine ~= its then return mine < its end
  for i = 1, FEEDBACK_BYTES do
    local a, b = string.byte(entry, i), string.byte(other, i)
    if a ~= b then return a < b end
  end
  return false
end

-- Who says what: bytes 17-24 and 41-48 of an entry. The times may differ, for a sender that repeats itself may date anew.
local function says_the_same(entry, other)
  return string.sub(entry, 17, 24) == string.sub(other, 17, 24) and string.sub(entry, 41) == string.sub(other, 41)
end

-- The pile with the entry in it; nil where it does not come in, with the reason as the second value.
local function merge(pile, entry)
  local id = string.sub(entry, 1, ID_BYTES)
  for from = 1, #pile, FEEDBACK_BYTES do
    local to = from + FEEDBACK_BYTES - 1
    if string.sub(pile, from, from + ID_BYTES - 1) == id then
      local same = string.sub(pile, from, to)
      local reason = says_the_same(entry, same) and 'feedback_duplicate' or 'feedback_conflicting'
      if not precedes(entry, same) then return nil, reason end
      return string.sub(pile, 1, from - 1) .. entry .. string.sub(pile, to + 1), reason
    end
  end
  if #pile >= LARGEST_PILE * FEEDBACK_BYTES then return nil, 'feedback_excess' end
  return pile .. entry
end

-- Arguments of HSET for piles that change, and of ZADD for feedback without a decision so far.
local function new_feedback(targets, entries, opened)
  local writes, expiries, piles = {}, {}, {}
  if #targets == 0 then return writes, expiries end
  local deadlines, stored = call('ZMSCORE', OPEN, unpack(targets)), call('HMGET', FEEDBACK, unpack(targets))
  for i, id in ipairs(targets) do
    local deadline, effective = tonumber(deadlines[i]) or opened[id], effective_time(entries[i])
    -- Late for an open window: never added, so that a due window is frozen from DUE to COMMIT.
    local pile, reason
    if deadline and effective >= deadline then reason = 'feedback_late'
    else pile, reason = merge(piles[id] or stored[i] or '', entries[i]) end
    add(counts, reason or 'waiting', 1)
    piles[id] = pile or piles[id]
    if pile and not deadline then
      expiries[#expiries + 1], expiries[#expiries + 2] = string.format('%.0f', effective + patience), id
    end
  end
  for id, pile in pairs(piles) do writes[#writes + 1], writes[#writes + 2] = id, pile end
  return writes, expiries
end

local refusal = ownership()
if refusal then return refusal end
local meta, flaw = guard()
local previous = tonumber(call('HGET', WATERMARKS, partition))
if not meta or not previous then return {'CORRUPT', flaw or WATERMARKS .. ' lacks ' .. partition} end
if not well_formed(previous) then return {'BAD'} end
local ids, targets = split(decision_blob, ID_BYTES), split(target_blob, ID_BYTES)
if over_budget(meta, previous, #ids, #targets) then return {'FULL'} end
local scores, payloads, opened = new_windows(ids)
local piles, expiries = new_feedback(targets, split(feedback_blob, FEEDBACK_BYTES), opened)

if #scores > 0 then
  call('ZADD', OPEN, unpack(scores))
  call('HSET', PAYLOADS, unpack(payloads))
end
if #piles > 0 then call('HSET', FEEDBACK, unpack(piles)) end
if #expiries > 0 then call('ZADD', WAITING, 'GT', unpack(expiries)) end
write_counts(counts)
call('HSET', WATERMARKS, partition, ARGV[6])
call('HSET', META, 'next:' .. partition, ARGV[5]) -- last: what is behind the offset has happened
return {'OK', next_offset}
