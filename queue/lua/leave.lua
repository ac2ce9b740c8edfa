-- Gives back the slot or the place in the line of an execution that ended, is gone, or was redriven since.
-- KEYS: 1 slots ZSET, 2 waiting ZSET, 3 due ZSET
-- ARGV: 1 id, 2 offset ms, 3 workflow, 4 epoch of that run, 5 when it was to be looked at ('' = whenever)
-- Returns {1, 1 when somebody waits} | {-2} it was reserved anew meanwhile
local id, now, workflow, epoch = ARGV[1], clock(ARGV[2]), ARGV[3], ARGV[4]
local entry = slot_entry(id, epoch, workflow)
local seen, slot = call('ZSCORE', KEYS[3], entry), call('ZSCORE', KEYS[1], id)
if ARGV[5] ~= '' and not (seen and tonumber(seen) == tonumber(ARGV[5])) then return {-2} end
-- writes follow
if slot and tonumber(slot) <= tonumber(epoch) then call('ZREM', KEYS[1], id) end
call('ZREM', KEYS[2], id .. ':' .. epoch)
call('ZREM', KEYS[3], entry)
if call('EXISTS', KEYS[2]) == 0 then return {1, 0} end
fill_at(KEYS[3], workflow, now + SLOT_GRACE)
return {1, 1}
