-- Removes everything of an execution whose retention is over, or that was never finished building.
-- KEYS: 1 execution HASH, 2 expire ZSET, 3 building ZSET, 4 decide ZSET, 5 index ZSET, 6... its other keys
-- ARGV: 1 id, 2 offset ms
-- Returns {1} | {-2} not due
local id, now = ARGV[1], clock(ARGV[2])
local status = call('HGET', KEYS[1], 'status')
local due = call('ZSCORE', KEYS[status and 2 or 3], id)
if due and tonumber(due) > now then return {-2} end
if status and not due then return {-2} end
-- writes follow
for i = 2, 5 do call('ZREM', KEYS[i], id) end
call('UNLINK', KEYS[1])
for i = 6, #KEYS do call('UNLINK', KEYS[i]) end
return {1}
