#!lua flags=allow-oom
-- New priorities from the learner. A slot that holds another example by now is left alone, and so is one whose example
-- was excluded: a priority would call it back.
-- ARGV: incarnation, blob of position (float64: the number of the example, counted from the first that was ever added)
-- and priority (float32), one update a slot, by slot. Returns how many were written.

local incarnation, blob = ARGV[1], ARGV[2]

local UPDATE_BYTES = 8 + PRIORITY_BYTES
local NEAR = 16 -- slots: to write these few anew costs less than another command

if call('HGET', META, 'incarnation') ~= incarnation then return {'UNKNOWN'} end
local meta, flaw = guard()
if not meta then return {'CORRUPT', flaw} end
if #blob % UPDATE_BYTES ~= 0 then return {'BAD'} end

local stored, oldest = call('GET', PRIORITIES), meta.head - meta.capacity
local function priority_of(slot) return string.sub(stored, slot * PRIORITY_BYTES + 1, (slot + 1) * PRIORITY_BYTES) end

-- Runs of slots that lie close together, each a list of priorities with the slot it begins at.
local runs, run, last, largest, written = {}, nil, -1, meta.max_priority, 0
for at = 1, #blob, UPDATE_BYTES do
  local position, priority = struct.unpack('<df', blob, at)
  local slot = position % meta.capacity
  if slot <= last then return {'BAD'} end
  if position >= oldest and position < meta.head and priority_of(slot) ~= NO_PRIORITY then
    if not run or slot - last > NEAR then
      run = {from = slot}
      runs[#runs + 1] = run
    else
      run[#run + 1] = string.sub(stored, (last + 1) * PRIORITY_BYTES + 1, slot * PRIORITY_BYTES)
    end
    run[#run + 1] = string.sub(blob, at + 8, at + UPDATE_BYTES - 1)
    last, largest, written = slot, math.max(largest, priority), written + 1
  end
end

for _, each in ipairs(runs) do call('SETRANGE', PRIORITIES, each.from * PRIORITY_BYTES, table.concat(each)) end
if largest > meta.max_priority then call('HSET', META, 'max_priority', string.format('%.9g', largest)) end
return {'OK', written}
