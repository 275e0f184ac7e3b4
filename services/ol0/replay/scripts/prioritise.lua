#!lua flags=allow-oom
-- New priorities from the learner, in runs of neighbours: it alone changes them, so what it says of slots between two
-- changed ones is what they have. A slot that holds another example by now is left alone, and so is one whose example
-- was excluded: a priority would call it back.
-- ARGV: incarnation, exclusions the learner knows, blob of runs (float64 position of the first example, counted from the
-- first that was ever added; uint32 length), blob of priorities (float32) run after run, the largest. Returns OK.

local incarnation, excluded, run_blob, blob, largest = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])

local RUN_BYTES = 12

if call('HGET', META, 'incarnation') ~= incarnation then return {'UNKNOWN'} end
local meta, flaw = guard()
if not meta then return {'CORRUPT', flaw} end

-- Position and priorities of every run, without what was overwritten, or is not there (the store may have gone back).
local oldest, runs, at = math.max(0, meta.head - meta.capacity), {}, 0
for _, run in ipairs(split(run_blob, RUN_BYTES)) do
  local position, length = struct.unpack('<dI4', run)
  local from, to = math.max(position, oldest), math.min(position + length, meta.head)
  if from < to then
    local first = at + from - position
    runs[#runs + 1] = {from, string.sub(blob, first * PRIORITY_BYTES + 1, (first + to - from) * PRIORITY_BYTES)}
  end
  at = at + length
end
if #run_blob % RUN_BYTES ~= 0 or #blob ~= at * PRIORITY_BYTES or not largest then return {'BAD'} end

-- The same priorities but for slots whose examples were excluded.
local function without_excluded(from, priorities)
  local stored = split(read_ring(PRIORITIES, PRIORITY_BYTES, meta.capacity, from, from + #priorities / PRIORITY_BYTES),
    PRIORITY_BYTES)
  for i, priority in ipairs(split(priorities, PRIORITY_BYTES)) do
    if stored[i] ~= NO_PRIORITY then stored[i] = priority end
  end
  return table.concat(stored)
end

local unseen = (call('HGET', META, 'count:excluded') or '0') ~= excluded
for _, run in ipairs(runs) do
  local from, priorities = run[1], run[2]
  if unseen then priorities = without_excluded(from, priorities) end
  write_ring(PRIORITIES, PRIORITY_BYTES, meta.capacity, from, priorities)
end
if largest > meta.max_priority then call('HSET', META, 'max_priority', string.format('%.9g', largest)) end
return {'OK'}
